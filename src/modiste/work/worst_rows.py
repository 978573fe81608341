"""The rows a finished model finds hardest, as people are shown them: place, loss, an excerpt.

Written to `worst.json` beside the adapter and kept with the job. Excerpts are short; secrets and
personal data in them are masked.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from modiste.prepare.formats.read import read
from modiste.prepare.inspect.conceal import conceal
from modiste.types import Example, Message
from modiste.work.training_rows import DataFile

if TYPE_CHECKING:
    from modiste.tune.worst import Ranked, Worst

FILE = "worst.json"
EXCERPT_CHARACTERS = 120
VERSION = 1


def report(found: Sequence[Worst], files: Iterable[DataFile]) -> dict[str, Any]:
    """What is kept: per part the rows, highest loss first, and how many were measured."""
    wanted: dict[str, set[int]] = {}
    for part in found:
        for row in part.rows:
            wanted.setdefault(row.origin.file, set()).add(row.origin.line)
    examples = _examples(files, wanted)
    return {
        "version": VERSION,
        "parts": [
            {
                "part": part.part,
                "mean_loss": _number(part.mean_loss),
                "n_measured": part.n_measured,
                "n_rows": part.n_rows,
                "rows": [_row(row, examples) for row in part.rows],
            }
            for part in found
        ],
    }


def _row(row: Ranked, examples: Mapping[tuple[str, int], Example]) -> dict[str, Any]:
    example = examples.get((row.origin.file, row.origin.line))
    asked, answer = ("", "") if example is None else _said(example)
    return {
        "file": row.origin.file,
        "line": row.origin.line,
        "loss": _number(row.loss),
        "n_trained": row.n_units,
        "asked": _excerpt(asked),
        "answer": _excerpt(answer),
    }


def _examples(
    files: Iterable[DataFile], wanted: Mapping[str, set[int]]
) -> dict[tuple[str, int], Example]:
    found = {}
    for file in files:
        left = set(wanted.get(file.filename, ()))
        if not left:
            continue
        for line in read(file.path, filename=file.filename).rows:
            if line.line in left and line.row.example is not None:
                found[file.filename, line.line] = line.row.example
                left.discard(line.line)
                if not left:
                    break
    return found


def _said(example: Example) -> tuple[str, str]:
    """The last request and what answers it; of plain text its beginning."""
    if example.text is not None:
        return "", example.text
    answers = example.chosen or example.messages
    return _last(example.messages, "user"), _last(answers, "assistant")


def _last(messages: Sequence[Message], role: str) -> str:
    for message in reversed(messages):
        if message.role == role:
            calls = ", ".join(f"{call.name}({call.arguments})" for call in message.tool_calls)
            return message.content or calls
    return ""


def _number(loss: float) -> float | None:
    """JSON has no NaN."""
    return loss if math.isfinite(loss) else None


def _excerpt(text: str) -> str:
    text = " ".join(conceal(text[: 4 * EXCERPT_CHARACTERS]).split())
    if len(text) <= EXCERPT_CHARACTERS:
        return text
    return text[: EXCERPT_CHARACTERS - 1] + "…"
