"""The certificate of a classifier: what the live engine says of rows against what training said.

The trainer left rows with their ids and the probabilities of every label. Here the same texts and
chats are read anew, by the path that classifications take, and the engine is asked for them with
the published files. Ids must be equal, log-probabilities within the tolerance of the kind of
weights that are served, and the label that is said first the same, but where two are as near as
they may move. Probabilities below `FLOOR` are as good as none: they are compared as if they were
that.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from modiste.errors import ModisteError, ParityFailed, Unavailable
from modiste.nn.heads_file import HeadsFile, read_about, spans
from modiste.prepare import classified, render
from modiste.prepare.formats.classifier import parse_row
from modiste.prepare.render import Renderer
from modiste.serve.sequence import Embed, Pooling
from modiste.serve.stream import EngineStream
from modiste.types import CheckedForm, Example, FormStatus, Parity
from modiste.work import class_figures
from modiste.work.closeness import EXACT, GAP_SHARE, ROUNDED, Tolerance
from modiste.work.live import Patience, unchecked
from modiste.work.parity import PATIENCE_S

FLOOR = 1e-6
FAULT = (
    ". The files are kept, but no model was published. This is a fault of the software, not of "
    "your data: please report it with this message."
)


@dataclass(frozen=True)
class Row:
    number: int
    example: Example
    ids: list[int]
    said: list[float]
    """Probabilities of all labels, as training computes them."""
    of_base: list[float]
    """Of the same heads on the bare base."""


class Told(NamedTuple):
    said: list[tuple[float, ...]]
    kind: str
    """Of the weights that are served."""
    exact: bool


class Apart(NamedTuple):
    mean: float
    largest: float
    gap: float
    parted: list[str]


def check(
    run_dir: Path,
    *,
    base_path: Path,
    adapter_folder: Path,
    adapter_version: str | None,
    process_dir: Path,
    still_wanted: Callable[[], None] = lambda: None,
    patience_s: float = PATIENCE_S,
    answer_timeout_s: float = 600.0,
) -> Parity:
    """Compare every row of `run_dir/parity.json`.

    Raises:
        ParityFailed: the two part, or no engine was there to ask; as `parity.check`.
    """
    about = read_about(adapter_folder)
    rows = read_rows(run_dir / "parity.json", n_labels=sum(len(t.labels) for t in about.targets))
    renderer = render.load(base_path)
    parted = [text for row in rows if (text := _ids_part(row, renderer))]
    if parted:
        raise ParityFailed("; ".join(parted) + FAULT)
    patiently = Patience(still_wanted, patience_s, answer_timeout_s)
    told = asyncio.run(
        _of_engine(
            rows, str(base_path), str(adapter_folder), adapter_version, process_dir, patiently
        )
    )
    tolerance = EXACT if told.exact else ROUNDED[told.kind]
    found = apart(rows, told.said, about, tolerance)
    if found.parted:
        raise ParityFailed(
            "The served classifier does not say what training said: "
            + "; ".join(found.parted[:5])
            + FAULT
        )
    return _passed(rows, told, found, tolerance, about)


def read_rows(path: Path, *, n_labels: int) -> list[Row]:
    """Raises ParityFailed when the trainer left nothing that could be compared."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        rows = [_row(number, row, n_labels) for number, row in enumerate(content["rows"], start=1)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ParityFailed(
            f"{path} cannot be compared ({type(error).__name__}: {error}). The trainer and this "
            "worker may be of different versions; start the job again."
        ) from None
    if not rows:
        raise ParityFailed(f"{path} holds no rows: nothing proves that the model is served right.")
    return rows


def _row(number: int, row: Mapping[str, Any], n_labels: int) -> Row:
    value = {name: row[name] for name in ("messages", "text") if row.get(name) is not None}
    parsed = parse_row({**value, "labels": {"any": "any"}}, file="parity.json", line=number)
    if parsed.example is None:
        raise ValueError("; ".join(str(problem) for problem in parsed.problems))
    said, of_base = (
        [float(p) for p in row[name]] for name in ("probabilities", "base_probabilities")
    )
    if not len(said) == len(of_base) == n_labels:
        raise ValueError(f"row {number} has {len(said)} probabilities, the heads {n_labels}")
    return Row(number, parsed.example, list(row["ids"]), said, of_base)


def _ids_part(row: Row, renderer: Renderer) -> str | None:
    ids = list(classified.rendered(row.example, renderer).ids)
    if ids == row.ids:
        return None
    return (
        f"row {row.number}: training reads {len(row.ids)} tokens, {row.ids[:8]} …, the endpoint "
        f"{len(ids)}, {ids[:8]} …"
    )


async def _of_engine(
    rows: Sequence[Row],
    base: str,
    adapter: str,
    version: str | None,
    process_dir: Path,
    patiently: Patience,
) -> Told:
    engine = EngineStream(process_dir)
    try:
        said = []
        for row in rows:
            request = Embed(
                uuid4().hex, base, tuple(row.ids), adapter, version, pooling=Pooling.HEADS
            )
            said.append(await patiently(partial(engine.embed, request)))
        status = await engine.status(timeout_s=patiently.answer_s)
    except Unavailable as error:
        raise unchecked(f"answered and was gone: {error.message}") from error
    except ModisteError as error:
        if isinstance(error, ParityFailed):
            raise
        raise ParityFailed(f"The engine refused the classifier: {error.message}{FAULT}") from error
    finally:
        await engine.close()
    lane = status["bases"].get(base)
    if lane is None:  # Put away since: then hold it to the most.
        return Told(said, "fp32", exact=True)
    return Told(said, str(lane["linear"]), bool(lane["exact"]))


def apart(
    rows: Sequence[Row], said: Sequence[Sequence[float]], about: HeadsFile, tolerance: Tolerance
) -> Apart:
    """How far what was said is from training, and every way in which that is too far."""
    pairs: list[float] = []
    gaps: list[float] = []
    parted = []
    for row, found in zip(rows, said, strict=True):
        if len(found) != len(row.said):
            parted.append(
                f"row {row.number}: {len(row.said)} labels in training, {len(found)} served"
            )
            continue
        far = [abs(a - b) for a, b in zip(_logs(row.said), _logs(found), strict=True)]
        pairs += far
        gaps += [abs(a - b) for a, b in zip(_logs(row.said), _logs(row.of_base), strict=True)]
        worst = max(range(len(far)), key=lambda at: -1.0 if far[at] <= tolerance.largest else 1.0)
        if not far[worst] <= tolerance.largest:  # A NaN is apart from everything.
            parted.append(
                f"row {row.number}: the probability of label {worst + 1} is {row.said[worst]:.5f} "
                f"in training and {found[worst]:.5f} served"
            )
        parted += _other_labels(row, found, about, tolerance)
    mean, gap = (sum(each) / max(1, len(each)) for each in (pairs, gaps))
    allowed = min(tolerance.mean, max(GAP_SHARE * gap, tolerance.least))
    if not parted and not mean <= allowed:
        parted.append(
            f"log-probabilities are {mean:.2g} apart on average, {allowed:.2g} is allowed where "
            f"the adapter moves them by {gap:.2g}"
        )
    return Apart(mean, max(pairs, default=0.0), gap, parted)


def _other_labels(
    row: Row, found: Sequence[float], about: HeadsFile, tolerance: Tolerance
) -> Iterator[str]:
    for target, span in zip(about.targets, spans(about.targets), strict=True):
        trained, served = row.said[span], found[span]
        if not target.single:
            continue
        first = max(range(len(trained)), key=trained.__getitem__)
        there = max(range(len(served)), key=served.__getitem__)
        margin = math.log(max(trained[first], FLOOR)) - math.log(max(trained[there], FLOOR))
        if first != there and margin > 2 * tolerance.largest:
            yield (
                f"row {row.number}: {target.name} is {target.labels[first]!r} in training and "
                f"{target.labels[there]!r} served"
            )


def _logs(probabilities: Sequence[float]) -> list[float]:
    return [p if math.isnan(p) else math.log(max(p, FLOOR)) for p in probabilities]


def _passed(
    rows: Sequence[Row], told: Told, found: Apart, tolerance: Tolerance, about: HeadsFile
) -> Parity:
    n_tokens = sum(len(row.ids) for row in rows)
    allowed = min(tolerance.mean, max(GAP_SHARE * found.gap, tolerance.least))
    compared = (
        f"log-probabilities of labels {found.mean:.1e} apart on average and {found.largest:.1e} at "
        f"most (tolerance {allowed:.1e} and {tolerance.largest:g})"
    )
    how = "through the live engine" + (", exact" if told.exact else "")
    form = CheckedForm(
        told.kind,
        FormStatus.PASSED,
        f"{how}: {compared}",
        live=True,
        mean_abs_logprob_diff=found.mean,
        max_abs_logprob_diff=found.largest,
        mean_tolerance=allowed,
        tolerance=tolerance.largest,
    )
    return Parity(
        passed=True,
        n_rows=len(rows),
        n_tokens=n_tokens,
        max_abs_logprob_diff=found.largest,
        mean_abs_logprob_diff=found.mean,
        tolerance=tolerance.largest,
        base_gap=found.gap,
        message=(
            f"Served as trained: {len(rows)} rows, {n_tokens} tokens, ids equal, {compared}. "
            f"{class_figures.sentence(about)}"
        ),
        forms=(form,),
    )
