"""mistral-finetune's training file, as its `utils.validate_data` reads it, and its statistics.

`read` takes the same YAML: sources `a.jsonl:5.,folder:1.` of chats and of plain text, files or
folders, Windows paths too. `expected` gives the figures under the same names, with what
validate_data guesses put right: every file counts, tokens are the base's own, GPUs are those that
are here, and accumulated microbatches are part of a step.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any, NamedTuple

from modiste.errors import InvalidInput
from modiste.prepare.yaml_file import read_mapping
from modiste.tune.flops import FORWARD
from modiste.tune.speeds import ASSUMED_FLOPS

DEFAULTS = {"seq_len": 2048, "batch_size": 1, "max_steps": 100, "num_microbatches": 1}
"""What mistral-finetune takes where the file says nothing."""
H100_TOKENS_PER_S = {
    "open-mistral-7b": 5720,
    "open-mixtral-8x7b": 2966,
    "open-mixtral-8x22b": 1007,
    "mistral-large-latest": 567,
    "open-mistral-nemo": 3337,
}
"""mistral-finetune's own figures, for each H100 at 32,768 tokens."""
BY_WIDTH = {5120: "open-mistral-nemo", 6144: "open-mixtral-8x22b", 12288: "mistral-large-latest"}
START_S = 300
"""Loading, evaluation and checkpoints, as validate_data adds."""
WEIGHED = re.compile(r"(?P<path>.*):(?P<weight>[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?)")


class Source(NamedTuple):
    name: str
    """As written in the file."""
    files: tuple[Path, ...]
    weight: float = 1.0


class TrainYaml(NamedTuple):
    model: str
    train: tuple[Source, ...]
    """Plain text first, then chats, as in the original."""
    validation: tuple[Source, ...]
    seq_len: int
    batch_size: int
    max_steps: int
    num_microbatches: int
    notes: tuple[str, ...]


def read(path: Path) -> TrainYaml:
    """
    Raises:
        InvalidInput: the file cannot be read or used; everything that is wrong is in the message.
    """
    content = read_mapping(path, expected="`name: value` lines")
    data = content.get("data") if isinstance(content.get("data"), Mapping) else {}
    given = {**{f"data.{key}": value for key, value in (data or {}).items()}, **content}
    problems: list[str] = []
    folder = path.resolve().parent

    def listed(name: str) -> tuple[Source, ...]:
        return tuple(_sources(given.get(f"data.{name}") or "", f"data.{name}", folder, problems))

    plain, chats, validation = (listed(n) for n in ("data", "instruct_data", "eval_instruct_data"))
    _refuse_twice((*plain, *chats), problems)
    if not (plain or chats) and not problems:
        problems.append("data.instruct_data and data.data are empty; name at least one file")
    numbers = {name: _number(given, name, problems) for name in DEFAULTS}
    model = given.get("model_id_or_path")
    if not isinstance(model, str) or not model.strip():
        problems.append("model_id_or_path is empty; give the base's folder or name")
    if problems:
        raise InvalidInput("; ".join(f"{path}: {problem}" for problem in problems))
    notes = [f"{n} is not given: {DEFAULTS[n]}" for n in DEFAULTS if given.get(n) is None]
    return TrainYaml(
        _model(str(model), folder), (*plain, *chats), validation, **numbers, notes=tuple(notes)
    )


def expected(
    asked: TrainYaml, tokens: Mapping[str, int], *, n_gpus: int, tokens_per_s: float
) -> dict[str, Any]:
    """The figures of validate_data.

    Args:
        tokens: of each source of `asked.train`, by name.
        n_gpus: 0 means one processor.
        tokens_per_s: of each GPU, or of the processor.
    """
    devices = max(1, n_gpus)
    per_step = asked.batch_size * asked.num_microbatches * asked.seq_len * devices
    train_tokens = asked.max_steps * per_step
    data_tokens = sum(tokens.values())
    total = sum(source.weight for source in asked.train)
    shares = {source.name: train_tokens * source.weight / total for source in asked.train}
    return {
        "eta": hours_minutes_seconds(train_tokens / devices / tokens_per_s + START_S),
        "data_tokens": data_tokens,
        "train_tokens": train_tokens,
        "epochs": _ratio(train_tokens, data_tokens),
        "max_steps": asked.max_steps,
        "tokens_per_step": per_step,
        "gpus": n_gpus,
        "data_tokens_per_dataset": dict(tokens),
        "train_tokens_per_dataset": {name: round(share) for name, share in shares.items()},
        "epochs_per_dataset": {name: _ratio(shares[name], tokens[name]) for name in shares},
    }


class Speed(NamedTuple):
    tokens_per_s: float
    rests_on: str


def speed(model: str, *, n_gpus: int, n_parameters: int | None, width: int | None) -> Speed:
    """Of one device; where it cannot be known, what it is assumed from."""
    known = H100_TOKENS_PER_S.get(model) or _by_shape(n_parameters, width)
    if n_gpus and known:
        return Speed(known, "mistral-finetune's figure for one H100 with 32,768 tokens")
    if n_gpus and n_parameters:
        h100 = H100_TOKENS_PER_S["open-mistral-7b"] * 7.25e9 / n_parameters
        return Speed(h100, "mistral-finetune's figure for a 7B on one H100, by size")
    size = n_parameters or 7.25e9
    cpu = ASSUMED_FLOPS / (2 * FORWARD * size)
    taken = "" if n_parameters else ", taken as a 7B because only its tokenizer is known"
    return Speed(cpu, f"no GPU is here: assumed for two processor cores from the size{taken}")


def count_gpus() -> int:
    """GPUs that a training started here would see; 0 without NVIDIA's driver."""
    try:
        answer = subprocess.run(
            ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=20, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return 0
    n_gpus = len(answer.stdout.split())
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return n_gpus
    named = [part.strip() for part in visible.split(",")]
    kept = named[: named.index("-1")] if "-1" in named else named
    return min(n_gpus, len([part for part in kept if part]))


def hours_minutes_seconds(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600:02d}:{whole % 3600 // 60:02d}:{whole % 60:02d}"


def local_path(text: str, folder: Path) -> Path | None:
    """Where a path of the file lies here, if it does.

    Paths are relative to where the command runs, as in the original, or to the file's folder.
    Windows paths are also looked for with slashes, and their drives where WSL mounts them.
    """
    candidates = [Path(text).expanduser()]
    windows = PureWindowsPath(text)
    if windows.drive and windows.root:
        candidates.append(Path("/mnt", windows.drive[0].lower(), *windows.parts[1:]))
    elif "\\" in text:
        candidates.append(Path(windows.as_posix()))
    for candidate in candidates:
        for found in (candidate, folder / candidate):
            if found.exists():
                return found
    return None


def _sources(listed: Any, name: str, folder: Path, problems: list[str]) -> list[Source]:
    if not isinstance(listed, str):
        problems.append(f"{name} is {listed!r}, expected text such as a.jsonl:5.,folder:1.")
        return []
    found = []
    for part in filter(None, (each.strip() for each in listed.split(","))):
        weighed = WEIGHED.fullmatch(part)
        text, weight = (weighed["path"], float(weighed["weight"])) if weighed else (part, 1.0)
        if weight <= 0:
            problems.append(f"{name}: the weight of {text} is {weight:g}, expected more than 0")
        files = _files(text, name, folder, problems)
        if files:
            found.append(Source(text, files, weight))
    return found


def _files(text: str, name: str, folder: Path, problems: list[str]) -> tuple[Path, ...]:
    path = local_path(text, folder)
    if path is None:
        problems.append(f"{name}: {text} is not there (looked from here and from {folder})")
        return ()
    if path.is_file():
        return (path,)
    files = tuple(sorted(each for each in path.rglob("*jsonl") if each.is_file()))
    if not files:
        problems.append(f"{name}: the folder {text} holds no file that ends with jsonl")
    return files


def _refuse_twice(sources: Sequence[Source], problems: list[str]) -> None:
    names = [source.name for source in sources]
    for name in dict.fromkeys(n for n in names if names.count(n) > 1):
        problems.append(f"{name} is named {names.count(name)} times; name it once, with its weight")


def _number(given: Mapping[str, Any], name: str, problems: list[str]) -> int:
    value = given.get(name)
    if value is None:
        return DEFAULTS[name]
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        problems.append(f"{name} is {value!r}, expected a whole number above 0")
        return DEFAULTS[name]
    return value


def _model(text: str, folder: Path) -> str:
    path = local_path(text, folder)
    return text if path is None else str(path)


def _by_shape(n_parameters: int | None, width: int | None) -> int | None:
    """As the original tells a folder's model by its width."""
    if width == 4096 and n_parameters:
        return H100_TOKENS_PER_S["open-mistral-7b" if n_parameters < 2e10 else "open-mixtral-8x7b"]
    return H100_TOKENS_PER_S[BY_WIDTH[width]] if width in BY_WIDTH else None


def _ratio(one: float, other: float) -> float | None:
    return round(one / other, 2) if other else None
