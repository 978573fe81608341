"""What a pipeline is asked for: files in, stages in order, a folder out; YAML or a mapping.

    inputs: [raw/*.jsonl]
    stages:
      - dedup
      - decontaminate: {against: [evals/]}
      - split: {parts: 70/15/15}
      - sample: {n: 1000}
        from: train
    output: dataset

Rows flow from stage to stage. After a split there are several streams of rows, and a stage says
`from` which it takes. Where a setting names files, `@test` stands for such a stream. Everything
that is wrong is said in one answer, before anything runs.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, NamedTuple, cast

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from modiste.errors import InvalidInput
from modiste.prepare.curate.cache import ONLY
from modiste.prepare.curate.split import Split
from modiste.prepare.curate.stage import Settings, Stage, parse_settings, wrong_setting
from modiste.prepare.formats.kinds import Format
from modiste.prepare.yaml_file import read_mapping

MODULES: Mapping[str, str] = {
    "dedup": "dedup",
    "decontaminate": "contamination",
    "split": "split",
    "sample": "sample",
    "merge": "merge",
    "variety": "variety",
}
"""Every stage by name, and the module beside this one that has it."""

LOOKS_ONLY = ("variety",)
STREAM = "@"


def stage_named(name: str) -> Stage:
    return cast(Stage, import_module(f"modiste.prepare.curate.{MODULES[name]}").STAGE)


class Input(Settings):
    """Some files of rows."""

    path: str
    """A file, a folder, a pattern or a URL."""
    filename: str | None = None
    """What reports call a file that lies under another name."""
    format: Format | None = None
    columns: tuple[str, ...] = ()
    """Templates such as `user={question}`, for rows of any columns."""


class Step(NamedTuple):
    name: str
    settings: BaseModel
    source: str | None
    """The stream it takes; None while there is one only."""
    place: str
    """Where it stands in the file."""

    @property
    def outputs(self) -> tuple[str, ...]:
        if isinstance(self.settings, Split):
            return self.settings.names
        return () if self.name in LOOKS_ONLY else (self.source or ONLY,)


def _as_inputs(value: Any) -> Any:
    if isinstance(value, str | Mapping):
        value = [value]
    if isinstance(value, list | tuple):
        return tuple({"path": item} if isinstance(item, str) else item for item in value)
    return value


class _Shape(Settings):
    """The outer names of the file; stages are read one by one."""

    inputs: Annotated[tuple[Input, ...], BeforeValidator(_as_inputs)] = Field(min_length=1)
    stages: tuple[Any, ...] = Field(min_length=1)
    output: str = Field(min_length=1)
    name: str | None = None
    """Of the dataset; the folder's where none is given."""


class Pipeline(NamedTuple):
    inputs: tuple[Input, ...]
    steps: tuple[Step, ...]
    output: Path
    name: str
    folder: Path
    """What relative names in it are relative to."""


def read_yaml(path: Path) -> Pipeline:
    """Raises InvalidInput: unreadable, no mapping, or anything wrong in it, all at once."""
    content = read_mapping(path, expected="`inputs:`, `stages:` and `output:`")
    return parse(content, folder=path.resolve().parent, where=str(path))


def parse(values: Mapping[str, Any], *, folder: Path, where: str = "pipeline") -> Pipeline:
    """Raises InvalidInput with everything that is wrong."""
    try:
        shape = _Shape.model_validate(dict(values))
    except ValidationError as error:
        said = [wrong_setting(_Shape, dict(found)) for found in error.errors()]
        raise InvalidInput("; ".join(f"{where}: {text}" for text in said)) from None
    steps, problems = _steps(shape.stages)
    if not problems:
        problems = _flow(steps)
    if problems:
        raise InvalidInput("; ".join(f"{where}: {problem}" for problem in problems))
    output = folder / Path(shape.output).expanduser()
    return Pipeline(shape.inputs, steps, output, shape.name or output.name, folder)


def _steps(stages: tuple[Any, ...]) -> tuple[tuple[Step, ...], list[str]]:
    steps, problems = [], []
    for at, value in enumerate(stages):
        try:
            steps.append(_step(value, f"stages[{at}]"))
        except InvalidInput as error:
            problems.append(error.message)
    return tuple(steps), problems


def _step(value: Any, place: str) -> Step:
    """`dedup`, `{dedup: {…}}` or `{dedup: {…}, from: train}`."""
    entry = {value: None} if isinstance(value, str) else value
    if not isinstance(entry, Mapping):
        raise InvalidInput(f"{place}: expected the name of a stage, got {value!r}")
    rest = {str(key): inner for key, inner in entry.items()}
    source = rest.pop("from", None)
    if len(rest) != 1 or not isinstance(source, str | None):
        raise InvalidInput(f"{place}: expected one stage, and `from` at most, got {dict(entry)!r}")
    [(name, values)] = rest.items()
    if name not in MODULES:
        near = difflib.get_close_matches(name, MODULES, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(MODULES)}"
        raise InvalidInput(f"{place}: {name}: no such stage; {hint}")
    if values is not None and not isinstance(values, Mapping):
        raise InvalidInput(f"{place}.{name}: expected settings, got {values!r}")
    settings = parse_settings(
        stage_named(name).settings, dict(values or {}), where=f"{place}.{name}"
    )
    return Step(name, settings, source, place)


def _flow(steps: tuple[Step, ...]) -> list[str]:
    """Whether every stage finds the stream it takes."""
    streams, problems = {ONLY}, []
    for step in steps:
        listed = ", ".join(sorted(streams))
        source = step.source or (next(iter(streams)) if len(streams) == 1 else None)
        if source is None:
            problems.append(f"{step.place}: say `from` which rows: there are {listed}")
            continue
        if source not in streams:
            problems.append(f"{step.place}: from: there is no {source}, only {listed}")
            continue
        for place in places_of(step):
            if place.startswith(STREAM) and place[1:] not in streams:
                problems.append(f"{step.place}: there is no {place[1:]} here, only {listed}")
        if step.name in LOOKS_ONLY:
            continue
        outputs = {source} if len(step.outputs) == 1 else set(step.outputs)
        if taken := outputs & (streams - {source}):
            problems.append(f"{step.place}: {', '.join(sorted(taken))} is there already")
        streams = (streams - {source}) | outputs
    if all(step.name in LOOKS_ONLY for step in steps):
        problems.append("stages: none of them writes rows; add one, such as dedup or merge")
    return problems


def places_of(step: Step) -> list[str]:
    """Files that the settings of a step name."""
    found = []
    for field in stage_named(step.name).reads:
        value = getattr(step.settings, field)
        found += [] if value is None else [value] if isinstance(value, str) else list(value)
    return found
