"""The rows a trainer left as proof, and whether training read them as they will be served.

parity.json holds rows with their ids, loss mask and log-probabilities, and for a few of them the
answer that training finds most likely. Token ids are compared here, with the prompt path that
completions use.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from modiste.errors import ModisteError, ParityFailed
from modiste.prepare.formats.chat import parse_row
from modiste.prepare.render import Renderer
from modiste.prepare.turns import turns
from modiste.types import Example, SampleType


class GreedyAnswer(NamedTuple):
    """What training finds most likely behind the row's first `n_prompt` ids."""

    n_prompt: int
    ids: list[int]
    margins: list[float]
    """Of each token over the second best, in nats."""


@dataclass(frozen=True)
class Row:
    """One row as training saw it."""

    number: int
    example: Example
    ids: list[int]
    mask: list[bool]
    logprobs: list[float]
    """Of `ids[1:]`."""
    base_logprobs: list[float]
    greedy: GreedyAnswer | None = None

    @property
    def prompt(self) -> list[int]:
        """Of the greedy answer; empty without one."""
        return [] if self.greedy is None else self.ids[: self.greedy.n_prompt]


def read_rows(path: Path) -> list[Row]:
    """Raises ParityFailed when the trainer left nothing that could be compared."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        rows = [_row(number, row) for number, row in enumerate(content["rows"], start=1)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ParityFailed(
            f"{path} cannot be compared ({type(error).__name__}: {error}). The trainer and this "
            "worker may be of different versions; start the job again."
        ) from None
    if not rows:
        raise ParityFailed(f"{path} holds no rows: nothing proves that the model is served right.")
    return rows


def _row(number: int, row: Mapping[str, Any]) -> Row:
    """A row of parity.json: the training row itself and what training made of it."""
    value = {name: row[name] for name in ("messages", "tools", "text") if row.get(name)}
    parsed = parse_row(value, file="parity.json", line=number)
    if parsed.example is None:
        raise ValueError("; ".join(str(problem) for problem in parsed.problems))
    ids, logprobs = list(row["ids"]), [float(value) for value in row["logprobs"]]
    if len(logprobs) != len(ids) - 1:
        raise ValueError(f"row {number} has {len(ids)} ids and {len(logprobs)} logprobs")
    base = [float(value) for value in row["base_logprobs"]]
    greedy = None
    if (told := row.get("greedy")) is not None:  # Trainers of older versions left none.
        greedy = GreedyAnswer(int(told["n_prompt"]), list(told["ids"]), list(told["margins"]))
        if not (0 < greedy.n_prompt <= len(ids) and len(greedy.ids) == len(greedy.margins)):
            raise ValueError(f"the greedy answer of row {number} does not fit the row")
    return Row(number, parsed.example, ids, list(row["mask"]), logprobs, base, greedy)


def ids_part(row: Row, renderer: Renderer) -> str | None:
    """Where a trained answer stands behind other tokens than it will be served behind."""
    if row.example.sample_type is SampleType.PRETRAIN:
        return None  # Plain text is trained as it is; there is no prompt to serve.
    prompts = list(_prompts(row.example, renderer))
    starts = [i for i, on in enumerate(row.mask) if on and not (i and row.mask[i - 1])]
    for start in starts or [len(row.ids)]:
        before = row.ids[:start]
        served = [prompt if starts else prompt[:start] for prompt in prompts]
        if before in served:
            continue
        nearest = max(served, key=lambda prompt: _common(prompt, before), default=[])
        position = _common(nearest, before)
        return (
            f"row {row.number}: at token {position} training has "
            f"{token_text(before, position, renderer)}, the endpoint's prompt has "
            f"{token_text(nearest, position, renderer)}"
        )
    return None


def _prompts(example: Example, renderer: Renderer) -> Iterator[list[int]]:
    """The prompt of every turn that could be asked for, by the path that completions take."""
    for turn in turns(example.messages):
        if turn.first > 0:
            try:
                yield renderer.prompt(example.messages[: turn.first], tools=example.tools)
            except ModisteError:
                continue  # A turn nobody can ask for; if it is trained, that is found above.


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """Length of the common beginning."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))


def token_text(ids: Sequence[int], position: int, renderer: Renderer) -> str:
    """`12 'a'`: the token at `position`, for a message."""
    if position >= len(ids):
        return "nothing"
    text = renderer.decode([ids[position]])
    return f"{ids[position]} {text!r}" if text else f"{ids[position]}"
