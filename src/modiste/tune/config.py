"""A tuning as people ask for it: a file, settings beside it, or both; and where each value is from.

Later layers win: the file, then `--set` and flags. An effort fills in what all of them leave open.
Everything that is wrong is said in one answer, with the file and line. Data is looked for beside
the file, then where the command runs; a folder or a pattern stands for its files, which share its
weight by their sizes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from glob import glob
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from modiste.errors import InvalidInput
from modiste.prepare.sources.containers import named_container
from modiste.prepare.sources.locate import locate
from modiste.prepare.yaml_file import lines_of, read_mapping
from modiste.tune.aliases import Translated, translate
from modiste.tune.effort import choices
from modiste.tune.spec import CANONICAL, Data, DataFile, TuneSpec, validate

SETTINGS = "--set"
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


class Origin(NamedTuple):
    source: str
    """`7B.yaml line 12`, `--set`, `effort: quick`, `default`, …"""
    name: str = ""
    """As it was written there, where that is not ours."""
    why: str = ""

    def __str__(self) -> str:
        return f"{self.source} ({self.name})" if self.name else self.source


DEFAULT = Origin("default")


class Config(NamedTuple):
    spec: TuneSpec
    notes: tuple[str, ...]
    origins: Mapping[str, Origin]
    """Of every canonical name."""


class Layer(NamedTuple):
    values: Mapping[str, Any]
    label: str
    """`7B.yaml`, `--set`."""
    lines: Mapping[str, int] = {}


def load(path: Path | None, settings: Sequence[str] = (), **flags: Any) -> Config:
    """What a file, `name=value` settings and flags ask for together.

    Args:
        flags: by canonical names, dots written as `__`; None is left out.

    Raises:
        InvalidInput: unreadable, not a mapping, or any field wrong (all of them are named).
    """
    layers = [] if path is None else [_file(path)]
    layers.append(Layer(_settings(settings), SETTINGS))
    for name, value in flags.items():
        if value is not None:
            layers.append(Layer({name.replace("__", "."): value}, f"--{name.rpartition('__')[2]}"))
    folder = None if path is None else path.resolve().parent
    return resolve([layer for layer in layers if layer.values], folder=folder)


def read_yaml(path: Path) -> Config:
    """A file alone. Raises as `load`."""
    return load(path)


def resolve(layers: Sequence[Layer], *, folder: Path | None) -> Config:
    """The spec of all layers, and the origin of each of its values."""
    values: dict[str, Any] = {}
    origins: dict[str, Origin] = {}
    notes: list[str] = []
    problems: list[str] = []
    left_open: set[str] = set()
    for layer in layers:
        read = translate(layer.values, known=CANONICAL)
        # A tool's default fills gaps of its own file, it does not overrule another layer.
        values |= {n: v for n, v in read.values.items() if n not in read.of_tool or n not in values}
        origins |= {name: _origin(layer, read, name) for name in read.values}
        left_open |= read.left_open
        notes += [f"{layer.label}: {note}" for note in read.notes]
        problems += [f"{_place(layer, problem)}: {problem}" for problem in read.problems]
    effort = values.get("effort")
    if effort in ("quick", "balanced", "thorough"):
        given = dict.fromkeys(left_open) | values
        for choice in choices(effort, given):
            values[choice.field] = choice.value
            origins[choice.field] = Origin(f"effort: {effort}", why=choice.why)
    found = validate(values)
    for wrong in found.problems:
        origin = _nearest(origins, wrong.field)
        at = "spec" if origin is None else str(origin)
        problems.append(f"{at}: {wrong.field}: {wrong.message}")
    if found.spec is None or problems:
        raise InvalidInput("; ".join(problems))
    spec = _placed(found.spec, folder)
    return Config(spec, tuple(notes), {name: origins.get(name, DEFAULT) for name in CANONICAL})


def _file(path: Path) -> Layer:
    content = read_mapping(path, expected="`name: value` lines with at least model and data.train")
    return Layer(content, str(path), lines_of(path))


def _settings(settings: Sequence[str]) -> dict[str, Any]:
    """`lora.rank=8` as YAML would read it."""
    found: dict[str, Any] = {}
    problems = []
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or not name.strip():
            problems.append(f"{SETTINGS} {setting}: expected name=value, such as lora.rank=8")
            continue
        try:
            found[name.strip()] = yaml.safe_load(text)
        except yaml.YAMLError:
            problems.append(f"{SETTINGS} {setting}: the value is not readable as YAML")
    if problems:
        raise InvalidInput("; ".join(problems))
    return found


def _origin(layer: Layer, read: Translated, name: str) -> Origin:
    if name in read.of_tool:
        return Origin("mistral-finetune's default", why="its files mean it where they say nothing")
    written = read.names.get(name, (name,))
    lines = sorted({layer.lines[each] for each in written if each in layer.lines})
    at = f" line {', '.join(map(str, lines))}" if lines else ""
    shown = ", ".join(written) if written != (name,) else ""
    return Origin(f"{layer.label}{at}", shown)


def _place(layer: Layer, problem: str) -> str:
    line = layer.lines.get(problem.partition(":")[0])
    return layer.label if line is None else f"{layer.label} line {line}"


def _nearest(origins: Mapping[str, Origin], field: str) -> Origin | None:
    """Of the field, or of what it is inside of (`data.train.0.weight`)."""
    while field:
        if field in origins:
            return origins[field]
        field = field.rpartition(".")[0]
    return None


def _placed(spec: TuneSpec, folder: Path | None) -> TuneSpec:
    """Paths made absolute; folders and patterns become files, a model's folder its path."""
    data = Data(
        train=tuple(file for each in spec.data.train for file in _files(each, folder)),
        validation=tuple(file for each in spec.data.validation for file in _files(each, folder)),
        holdout=spec.data.holdout,
    )
    changes: dict[str, Any] = {"data": data}
    for name in ("model", "continue_from"):
        named = getattr(spec, name)
        if named is not None and (path := _here(named, folder)) is not None and path.is_dir():
            changes[name] = str(path)
    return spec.model_copy(update=changes)


def _files(file: DataFile, folder: Path | None) -> list[DataFile]:
    if file.path is None:
        return [file]
    found = _here(file.path, folder) or _listed(file.path, folder)
    if found is not None and found.is_file():
        return [file.model_copy(update={"path": str(found)})]
    inside = "://" in file.path or any(sign in file.path for sign in "*?[")
    if found is None and not inside:
        missing = Path(file.path).expanduser()
        if HUB_NAME.fullmatch(file.path) and named_container(missing.name) is None:
            raise InvalidInput(
                f"data: there is no file {file.path}; hf://datasets/{file.path} means the data set "
                "of the hub"
            )
        return [file.model_copy(update={"path": str((folder or Path.cwd()) / missing)})]
    place = _pattern(file.path, folder) if found is None else str(found)
    paths = [located.path for located in locate([place])]
    total = sum(path.stat().st_size for path in paths) or 1
    return [
        DataFile(path=str(p.resolve()), weight=max(1e-9, file.weight * p.stat().st_size / total))
        for p in paths
    ]


def _listed(text: str, folder: Path | None) -> Path | None:
    """A name of LLaMA-Factory's dataset_info.json, in `data` or the folder named before it."""
    path = Path(text)
    listing = path.parent if path.parent.name else Path("data")
    at = _here(str(listing / "dataset_info.json"), folder)
    if at is None:
        return None
    try:
        entry = json.loads(at.read_text(encoding="utf-8"))[path.name]
        return _here(str(at.parent / entry["file_name"]), None)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _pattern(text: str, folder: Path | None) -> str:
    """Beside the file where something there matches."""
    if "://" in text or folder is None:
        return text
    beside = str(folder / Path(text).expanduser())
    return beside if glob(beside, recursive=True) else text


def _here(text: str, folder: Path | None) -> Path | None:
    """What lies beside the file, else where the command runs; None where nothing does."""
    if "://" in text:
        return None
    path = Path(text).expanduser()
    for place in (folder, Path.cwd()):
        if place is not None and (place / path).exists():
            return (place / path).resolve()
    return None
