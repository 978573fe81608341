"""Stages of curation as they may be asked for over the API: on uploaded files, and nothing else.

A pipeline on somebody's own machine may read any path and ask any endpoint. Here the same words
come from a caller, so every file that a stage names is an uploaded one, by its id, or `@part`, and
stages that would send rows elsewhere are refused. No stage is run here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from modiste.actions import files
from modiste.errors import InvalidInput, NotYetSupported
from modiste.store.database import Tx
from modiste.types import Actor, DatasetFile

if TYPE_CHECKING:
    from modiste.prepare.curate.steps import Pipeline

MAIN = "train"
"""The part of a dataset that is trained on; rows of a pipeline without a split."""
AGAINST = "against"
"""Files that stages only read, such as eval sets."""
SOURCES = "sources"
"""The file that tells where every row came from."""
SUFFIX = re.compile(r"(?:\.[A-Za-z0-9]{1,10}){1,2}$")


class Stages(NamedTuple):
    stages: Sequence[Mapping[str, Any]]
    """As asked for, files by their ids."""
    reads: tuple[DatasetFile, ...]
    """Files that stages name."""


def checked(tx: Tx, actor: Actor, stages: Sequence[Any]) -> Stages:
    """Raises InvalidInput with everything that is wrong with the stages."""
    if not stages:
        return Stages((), ())
    pipeline = parsed(stages, inputs=["rows.jsonl"], folder=Path("/"))
    _refuse_elsewhere(pipeline)
    reads, wrong = [], []
    for place in dict.fromkeys(_places(pipeline)):
        file = files.named(tx, actor, place)
        if file is None:
            wrong.append(f"{place!r:.100} is no uploaded file; stages read files by their ids")
        else:
            reads.append(DatasetFile(AGAINST, file.id, file.filename, file.sha256, file.n_lines))
    if wrong:
        raise InvalidInput("; ".join(wrong), param="stages")
    return Stages([{s: None} if isinstance(s, str) else dict(s) for s in stages], tuple(reads))


def parsed(stages: Sequence[Any], *, inputs: Sequence[Any], folder: Path) -> Pipeline:
    """The stages as a pipeline in `folder`, whose output is `folder/output`."""
    from modiste.prepare.curate.steps import parse

    values = {"inputs": list(inputs), "stages": list(stages), "output": "output"}
    return parse(values, folder=folder, where="stages")


def in_folder(
    stages: Sequence[Mapping[str, Any]], inputs: Sequence[DatasetFile], folder: Path
) -> Pipeline:
    """The pipeline over files that lie in `folder` under the names of `local_name`."""
    named = _told_apart([file for file in inputs if file.part != AGAINST])
    local = {file.file_id: local_name(file) for file in inputs}
    entries = [{"path": local_name(file), "filename": filename} for file, filename in named]
    return parsed([_replaced(stage, local) for stage in stages], inputs=entries, folder=folder)


def local_name(file: DatasetFile) -> str:
    """A name that no user chose, with the suffix that tells the container."""
    found = SUFFIX.search(file.filename)
    return file.file_id + (found[0].lower() if found else "")


def of_manifest(
    manifest: Mapping[str, Any], inputs: Sequence[DatasetFile]
) -> tuple[tuple[dict[str, Any], ...], str]:
    """Stages and code version of a dataset that was made elsewhere.

    Raises:
        InvalidInput: the manifest does not speak of these files.
    """
    outputs, stages = manifest.get("outputs"), manifest.get("stages")
    if not isinstance(outputs, Mapping) or not isinstance(stages, list):
        raise InvalidInput(
            "manifest is not the dataset.json that `modiste data run` writes", param="manifest"
        )
    given = {file.part: file.sha256 for file in inputs if file.part != SOURCES}
    said = {
        MAIN if name == "data" else str(name): output.get("sha256")
        for name, output in outputs.items()
        if isinstance(output, Mapping)
    }
    if given != said:
        different = sorted(part for part in {*given, *said} if given.get(part) != said.get(part))
        raise InvalidInput(
            f"manifest and files differ in {', '.join(different)}: push what one run wrote",
            param="manifest",
        )
    told = tuple(
        {str(stage.get("stage")): stage.get("settings")}
        for stage in stages
        if isinstance(stage, Mapping)
    )
    return told, str(manifest.get("modiste_version", ""))[:40]


def _places(pipeline: Pipeline) -> Iterator[str]:
    from modiste.prepare.curate.steps import STREAM, places_of

    for step in pipeline.steps:
        yield from (place for place in places_of(step) if not place.startswith(STREAM))


def _refuse_elsewhere(pipeline: Pipeline) -> None:
    from modiste.prepare.curate.embedders import Embeddings

    for step in pipeline.steps:
        for field in type(step.settings).model_fields:
            if isinstance(getattr(step.settings, field), Embeddings):
                raise NotYetSupported(
                    f"{step.place}.{step.name}.{field}: passes over meanings are not run by the "
                    "server; run the pipeline with `modiste data run` and push what it made.",
                    param="stages",
                )


def _told_apart(inputs: Sequence[DatasetFile]) -> list[tuple[DatasetFile, str]]:
    """Each with a name for reports; files of one name are told apart by their ids."""
    names = [file.filename for file in inputs]
    return [
        (
            file,
            file.filename
            if names.count(file.filename) == 1
            else f"{file.filename} ({file.file_id})",
        )
        for file in inputs
    ]


def _replaced(value: Any, names: Mapping[str, str]) -> Any:
    """Ids of files by the names they lie under."""
    if isinstance(value, str):
        return names.get(value, value)
    if isinstance(value, Mapping):
        return {key: _replaced(inner, names) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_replaced(inner, names) for inner in value]
    return value
