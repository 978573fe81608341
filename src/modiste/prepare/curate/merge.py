"""Several files into one: a row that is in two of them is there once, shares are kept by drawing.

Files must be of one format and one kind of row, or what comes out could not be trained on as one.
No row is ever repeated to reach a share: the file that runs out first sets the size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, model_validator

from modiste.errors import InvalidInput
from modiste.prepare.curate.groups import chance
from modiste.prepare.curate.inputs import one_shape
from modiste.prepare.curate.rows import Rows, read_rows
from modiste.prepare.curate.stage import Corpus, Outcome, Settings
from modiste.prepare.records import Record


class Merge(Settings):
    weights: tuple[float, ...] = ()
    """Share of each file in the rows that come out, in order of the files; empty keeps all rows."""
    order: Literal["files", "interleaved"] = "files"
    """One file after the other, or mixed evenly throughout."""
    repeats: Literal["drop", "keep"] = "drop"
    """What becomes of a row that was there before, in the same file or another."""
    seed: int = Field(default=0)
    """Of the drawing where there are weights."""

    @model_validator(mode="after")
    def _shares(self) -> Merge:
        if any(not 0 < weight < float("inf") for weight in self.weights):
            raise ValueError("weights: each must be above 0")
        return self


class _MergeStage:
    name: ClassVar[str] = "merge"
    version: ClassVar[int] = 1
    settings: ClassVar[type[BaseModel]] = Merge
    reads: ClassVar[tuple[str, ...]] = ()

    def run(self, inputs: Sequence[Corpus], settings: Merge) -> Outcome:
        return merge(inputs, settings)


STAGE = _MergeStage()


def merge(inputs: Sequence[Corpus], settings: Merge) -> Outcome:
    """Raises InvalidInput if the files do not go together, or weights do not fit the files."""
    names = ", ".join(corpus.filename for corpus in inputs)
    if settings.weights and len(settings.weights) != len(inputs):
        raise InvalidInput(
            f"weights: {len(settings.weights)} for {len(inputs)} files ({names}); give one for each"
        )
    rows = read_rows(inputs, fields=(), classes="type")
    _refuse_mixed(inputs, rows)
    repeated = np.zeros(len(rows.ids), dtype=bool)
    if settings.repeats == "drop":
        repeated[:] = True
        repeated[np.unique(rows.ids, return_index=True)[1]] = False
    chosen = ~repeated
    if settings.weights:
        chosen &= _drawn(rows, chosen, settings)
    stretches = _stretches(rows)
    counts = [int(chosen[stretch].sum()) for stretch in stretches]
    dropped: list[dict[str, Any]] = []
    passes = [
        _kept(corpus, chosen[stretch], repeated[stretch], dropped)
        for corpus, stretch in zip(inputs, stretches, strict=True)
    ]
    mixed = settings.order == "interleaved"
    kept = _interleaved(passes, counts) if mixed else (row for each in passes for row in each)
    return Outcome(kept, _report(inputs, rows, chosen, repeated, dropped))


def _stretches(rows: Rows) -> list[slice]:
    ends = [*rows.starts[1:], len(rows.ids)]
    return [slice(start, end) for start, end in zip(rows.starts, ends, strict=True)]


def _refuse_mixed(inputs: Sequence[Corpus], rows: Rows) -> None:
    one_shape(inputs)
    if len(rows.kind_names) > 1:
        firsts = [
            f"{name} in {rows.where(int(np.argmax(rows.kinds == kind)))}"
            for kind, name in enumerate(rows.kind_names)
        ]
        raise InvalidInput(
            f"rows of different kinds cannot be trained on as one: {', '.join(firsts)}"
        )


def _drawn(rows: Rows, available: NDArray[np.bool_], settings: Merge) -> NDArray[np.bool_]:
    """As many rows of each file as its weight allows, by chance."""
    shares = np.asarray(settings.weights) / sum(settings.weights)
    stretches = _stretches(rows)
    supply = np.asarray([available[stretch].sum() for stretch in stretches])
    total = float((supply / shares).min())
    figures = np.where(available, chance(rows.ids, salt=f"merge {settings.seed}"), np.inf)
    drawn = np.zeros(len(available), dtype=bool)
    for stretch, share in zip(stretches, shares, strict=True):
        n = int(total * share + 1e-9)
        drawn[stretch.start + np.argsort(figures[stretch], kind="stable")[:n]] = True
    return drawn


def _kept(
    corpus: Corpus,
    chosen: NDArray[np.bool_],
    repeated: NDArray[np.bool_],
    dropped: list[dict[str, Any]],
) -> Iterator[Record]:
    flags = zip(chosen.tolist(), repeated.tolist(), strict=True)
    for record, (keep, again) in zip(corpus, flags, strict=True):
        if keep:
            yield record
        elif again:
            reason = "the same row was there before"
            dropped.append(
                {"file": record.file, "line": record.line, "id": record.id, "reason": reason}
            )


def _interleaved(passes: Sequence[Iterator[Record]], counts: Sequence[int]) -> Iterator[Record]:
    """Whoever is furthest behind its share of the whole comes next."""
    total, given = sum(counts), [0] * len(passes)
    for step in range(1, total + 1):
        behind = [count * step / total - done for count, done in zip(counts, given, strict=True)]
        at = max(range(len(passes)), key=behind.__getitem__)
        given[at] += 1
        yield next(passes[at])
    for rest in passes:  # reads to the end, so that every row left out is listed
        yield from rest


def _report(
    inputs: Sequence[Corpus],
    rows: Rows,
    chosen: NDArray[np.bool_],
    repeated: NDArray[np.bool_],
    dropped: list[dict[str, Any]],
) -> dict[str, Any]:
    total = max(1, int(chosen.sum()))
    files = []
    for corpus, stretch in zip(inputs, _stretches(rows), strict=True):
        kept, again = int(chosen[stretch].sum()), int(repeated[stretch].sum())
        files.append(
            {
                "file": corpus.filename,
                "kept": kept,
                "share": round(kept / total, 4),
                "repeats": again,
                "not_drawn": len(chosen[stretch]) - kept - again,
            }
        )
    return {"files": files, "dropped": dropped}
