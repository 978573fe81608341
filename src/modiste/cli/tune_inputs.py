"""What a tuning needs before its job can be made: a base that is installed, rows to evaluate on.

A model that is a folder is installed as a base under its own name, once. Rows held out are split
off whole prompts at a time, the same ones whenever the same files come, and kept in the home.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modiste.cli.output import say
from modiste.client import Client
from modiste.errors import InvalidInput
from modiste.settings import Settings
from modiste.tune.asked import undecidable
from modiste.tune.spec import Data, DataFile, TuneSpec

NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")
ADAPTER_FILES = (
    *("adapter_config.json", "adapter_model.safetensors"),
    *("params.json", "lora.safetensors"),
)


def refuse_undecidable(spec: TuneSpec) -> None:
    """Before anything is uploaded. Raises InvalidInput: best of evaluations that nobody makes."""
    if spec.data.validation or spec.data.holdout:
        return
    told = undecidable(spec, give="give data.validation or data.holdout")
    if told:
        raise InvalidInput(" ".join(told.values()), param=next(iter(told)))


def prepared(client: Client, wanted: Settings, spec: TuneSpec) -> TuneSpec:
    """The spec as the server can read it.

    Raises:
        InvalidInput: a folder that holds no base, files that cannot be split.
    """
    changes: dict[str, Any] = {}
    if Path(spec.model).is_dir():
        changes["model"] = base_of(client, Path(spec.model))
    if spec.data.holdout and not spec.data.validation:
        changes["data"] = held_out(spec.data, wanted.home / "tune" / "holdout")
    return spec.model_copy(update=changes)


def base_of(client: Client, folder: Path) -> str:
    """The name of the base in this folder; installed under the folder's name where it is not."""
    installed = client.get("/v1/models/bases")["data"]
    for base in installed:
        if Path(base["path"]) == folder.resolve():
            return str(base["id"])
    name = NOT_IN_NAMES.sub("-", folder.resolve().name).strip("-.") or "base"
    if any(name == base["id"] for base in installed):
        name = f"{name}-{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:6]}"
    client.post("/v1/models/bases", {"name": name, "path": str(folder.resolve())})
    say(f"{folder} is installed as the base {name}.")
    return name


def content_of(continue_from: str) -> str:
    """What tells one adapter from another: the bytes in a folder, or a model's name."""
    folder = Path(continue_from)
    if not folder.is_dir():
        return continue_from
    digest = hashlib.sha256()
    for name in ADAPTER_FILES:
        if (folder / name).is_file():
            with (folder / name).open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def held_out(data: Data, kept: Path) -> Data:
    """Each training file in two, one of them to evaluate on."""
    if any(file.path is None for file in data.train):
        raise InvalidInput(
            "data.holdout splits files of this machine; uploaded ones need data.validation",
            param="data.holdout",
        )
    train, validation = [], []
    for file in data.train:
        parts = _split(Path(file.path or ""), data.holdout, kept)
        train.append(file.model_copy(update={"path": str(parts[0])}))
        validation.append(DataFile(path=str(parts[1])))
    told = ", ".join(Path(file.path or "").name for file in data.train)
    say(f"{data.holdout:.0%} of {told} are held out for evaluation; they lie in {kept}")
    return Data(train=tuple(train), validation=tuple(validation))


def _split(path: Path, share: float, kept: Path) -> Sequence[Path]:
    from modiste.prepare.curate.inputs import corpora
    from modiste.prepare.curate.split import STAGE, Split
    from modiste.prepare.curate.stage import write_parts

    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read: {error.strerror}") from None
    folder = kept / f"{path.stem}-{share:g}-{digest}"
    parts = [folder / "train.jsonl", folder / "validation.jsonl"]
    if not all(part.is_file() for part in parts):
        folder.parent.mkdir(parents=True, exist_ok=True)
        asked = Split(parts={"train": 1 - share, "validation": share})
        inputs = corpora([str(path)])
        write_parts(STAGE, STAGE.run(inputs, asked), folder, settings=asked, inputs=inputs)
    return parts
