"""Parity: what the live endpoint computes against what training computed, row by row.

The trainer left rows with their ids, loss mask and teacher-forced logprobs. Here the same
conversations go through the prompt path that completions use and through the serving engine. Token
ids must be equal, logprobs within the tolerance of the kind of weights that are served, or the job
fails and says where the two part. A model that the engine cannot compute is compared with its own
files, read afresh (reread.py), and the certificate says that it is not served. Where a vLLM server
answers for the base, that is asked. The result is stored with the model.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from modiste.errors import Busy, LeaseLost, ModisteError, ParityFailed, Unavailable
from modiste.nn import servable
from modiste.prepare import render
from modiste.prepare.formats.chat import parse_row
from modiste.prepare.render import Renderer
from modiste.prepare.turns import turns
from modiste.serve import vllm_adapters
from modiste.serve.stream import EngineStream
from modiste.serve.vllm import VllmEngine
from modiste.types import Example, Parity, SampleType
from modiste.work import reread


class Tolerance(NamedTuple):
    """How far log-probabilities may be apart."""

    mean: float
    largest: float
    least: float = 1e-4
    """Apart in the mean by this is allowed however little the adapter changes: rounding itself."""


EXACT = Tolerance(mean=1e-4, largest=1e-3)
"""Both forwards compute in fp32, but sum in different orders: 1e-5 to 1e-4 on logprobs down to -20
is what that costs. Tighter would fail on rounding; a lost adapter or a wrong position shows as 0.01
to 10."""
ROUNDED = {"bf16": Tolerance(0.01, 0.05), "int8": Tolerance(0.1, 1.0)}
"""What weights of that kind cost, with room for models of other sizes: measured 0.002 to 0.003 and
0.013 in bf16; in int8 0.05 and 0.53 over 10,000 tokens of English on modiste-tiny, a fifth of that
on random weights. What tells a lost adapter then is GAP_SHARE."""
ELSEWHERE = Tolerance(0.01, 0.05, least=0.003)
"""Of a vLLM server, whose kind of weights is not told here: bf16's."""
GAP_SHARE = 0.1
"""Of the gap between adapter and bare base: differences must stay small beside what was learned."""
PATIENCE_S = 120.0
"""For an engine that is starting, restarting or full."""
RETRY_S = 2.0
LISTEN_S = 0.5
Score = Callable[[], Coroutine[Any, Any, list[float]]]


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


@dataclass
class Differences:
    """Summed over rows, while they come in."""

    largest: float = 0.0
    total: float = 0.0
    base_total: float = 0.0
    n_tokens: int = 0
    n_rows: int = 0
    parted: list[str] = field(default_factory=list)


def check(
    run_dir: Path,
    *,
    base_path: Path,
    adapter_folder: Path | None,
    adapter_version: str | None,
    process_dir: Path,
    elsewhere: Callable[[], VllmEngine] | None = None,
    environment: Mapping[str, str] = os.environ,
    still_wanted: Callable[[], None] = lambda: None,
    patience_s: float = PATIENCE_S,
    answer_timeout_s: float = 600.0,
) -> Parity:
    """Compare every row of `run_dir/parity.json`.

    Args:
        elsewhere: makes the client of the server that answers for the model; None is the engine in
            `process_dir`.
        still_wanted: called while waiting; raises to give up (cancelled, lease lost).

    Raises:
        ParityFailed: the two part; the message names row, position and token. Its code is
            `parity_unchecked` when no engine was there for `patience_s`, or one did not answer
            within `answer_timeout_s` (it may have to load the base first).
    """
    renderer = render.load(base_path)
    rows = read_rows(run_dir / "parity.json")
    found = Differences()
    found.parted = [part for row in rows if (part := _ids_part(row, renderer))]
    if found.parted:
        raise ParityFailed(_failure(found.parted))

    folder = None if adapter_folder is None else str(adapter_folder)
    unserved, tolerance = servable.why_not(base_path, adapter_folder), EXACT
    if elsewhere is not None:
        unserved = None if adapter_folder is None else vllm_adapters.why_not(adapter_folder)
    if unserved is None and elsewhere is not None:
        tolerance = ELSEWHERE
        served = asyncio.run(
            _served_elsewhere(
                elsewhere, rows, folder, adapter_version, still_wanted, patience_s, answer_timeout_s
            )
        )
    elif unserved is None:

        def score(engine: EngineStream, ids: list[int]) -> Score:
            return partial(engine.score, str(base_path), folder, adapter_version, ids)

        served, tolerance = asyncio.run(
            _served(rows, score, base_path, process_dir, still_wanted, patience_s, answer_timeout_s)
        )
    else:
        served = reread.logprobs(
            run_dir,
            [row.ids for row in rows],
            base=base_path,
            adapter=adapter_folder,
            environment=environment,
            still_wanted=still_wanted,
            timeout_s=answer_timeout_s,
        )
    for row, logprobs in zip(rows, served, strict=True):
        _compare(row, logprobs, renderer, found, tolerance)
    if not found.parted and (told := _mean_apart(found, tolerance)) is not None:
        found.parted.append(told)
    if found.parted:
        raise ParityFailed(_failure(found.parted))
    return _passed(found, tolerance, unserved=unserved)


async def _served(
    rows: Sequence[Row],
    score: Callable[[EngineStream, list[int]], Score],
    base: Path,
    process_dir: Path,
    still_wanted: Callable[[], None],
    patience_s: float,
    answer_timeout_s: float,
) -> tuple[list[list[float]], Tolerance]:
    """What the live engine says of every row, and what its kind of weights may cost."""
    engine = EngineStream(process_dir)
    try:
        logprobs = [
            await _patiently(score(engine, row.ids), still_wanted, patience_s, answer_timeout_s)
            for row in rows
        ]
        status = await engine.status(timeout_s=answer_timeout_s)
        return logprobs, _tolerance(status["bases"].get(str(base)))
    except Unavailable as error:
        raise _unchecked(f"answered and was gone: {error.message}") from error
    finally:
        await engine.close()


async def _served_elsewhere(
    elsewhere: Callable[[], VllmEngine],
    rows: Sequence[Row],
    folder: str | None,
    version: str | None,
    still_wanted: Callable[[], None],
    patience_s: float,
    answer_timeout_s: float,
) -> list[list[float]]:
    """What the server that takes the engine's place says of every row."""
    there = elsewhere()
    try:
        return [
            await _patiently(
                partial(there.score, folder, version, row.ids),
                still_wanted,
                patience_s,
                answer_timeout_s,
            )
            for row in rows
        ]
    except ModisteError as error:
        if isinstance(error, ParityFailed | LeaseLost):
            raise
        raise _unchecked(f"refused: {error.message}") from error
    finally:
        await there.close()


def _tolerance(lane: Mapping[str, Any] | None) -> Tolerance:
    if lane is None or lane["exact"]:  # It was put away since: then hold it to the most.
        return EXACT
    return ROUNDED[lane["linear"]]


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
    return Row(number, parsed.example, ids, list(row["mask"]), logprobs, base)


def _ids_part(row: Row, renderer: Renderer) -> str | None:
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
            f"{_token(before, position, renderer)}, the endpoint's prompt has "
            f"{_token(nearest, position, renderer)}"
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


def _compare(
    row: Row,
    served: Sequence[float],
    renderer: Renderer,
    found: Differences,
    tolerance: Tolerance,
) -> None:
    if len(served) != len(row.logprobs):
        found.parted.append(
            f"row {row.number}: {len(row.logprobs)} logprobs from training, {len(served)} served"
        )
        return
    found.n_rows += 1
    found.n_tokens += len(served)
    differences = [abs(a - b) for a, b in zip(row.logprobs, served, strict=True)]
    found.largest = max([found.largest, *differences])
    found.total += sum(differences)
    found.base_total += sum(
        abs(a - b) for a, b in zip(row.logprobs, row.base_logprobs, strict=True)
    )
    # `not <=` and not `>`: a NaN is apart from everything.
    first = next((i for i, d in enumerate(differences) if not d <= tolerance.largest), None)
    if first is not None:
        found.parted.append(
            f"row {row.number}: at token {first + 1} ({_token(row.ids, first + 1, renderer)}) the "
            f"logprob is {row.logprobs[first]:.5f} in training and {served[first]:.5f} served, "
            f"{differences[first]:.2g} apart (tolerance {tolerance.largest:g})"
        )


def _mean_apart(found: Differences, tolerance: Tolerance) -> str | None:
    """Why the mean difference is too large, if it is."""
    n = max(1, found.n_tokens)
    mean, gap = found.total / n, found.base_total / n
    allowed = min(tolerance.mean, max(GAP_SHARE * gap, tolerance.least))
    if mean <= allowed:
        return None
    return (
        f"logprobs are {mean:.2g} apart on average, {allowed:.2g} is allowed where the adapter "
        f"moves them by {gap:.2g}"
    )


def _token(ids: Sequence[int], position: int, renderer: Renderer) -> str:
    if position >= len(ids):
        return "nothing"
    text = renderer.decode([ids[position]])
    return f"{ids[position]} {text!r}" if text else f"{ids[position]}"


def _failure(parted: Sequence[str]) -> str:
    return (
        "The served model does not compute what training computed: "
        + "; ".join(parted)
        + ". The adapter is kept, but no model was published. This is a fault of the software, "
        "not of your data: please report it with this message."
    )


def _passed(found: Differences, tolerance: Tolerance, *, unserved: str | None) -> Parity:
    n = max(1, found.n_tokens)
    told = (
        f"{found.n_rows} rows, {found.n_tokens} tokens, ids equal, logprobs at most "
        f"{found.largest:.1e} apart (tolerance {tolerance.largest:g})."
    )
    message = f"Served as trained: {told}"
    if unserved is not None:
        message = (
            f"Not served here: {unserved}. Its files, read afresh with transformers, compute what "
            f"training computed: {told} `modiste models export` makes it ready for other servers."
        )
    return Parity(
        passed=True,
        n_rows=found.n_rows,
        n_tokens=found.n_tokens,
        max_abs_logprob_diff=found.largest,
        mean_abs_logprob_diff=found.total / n,
        tolerance=tolerance.largest,
        base_gap=found.base_total / n,
        message=message,
        served=unserved is None,
    )


async def _patiently(
    score: Score,
    still_wanted: Callable[[], None],
    patience_s: float,
    answer_timeout_s: float,
) -> list[float]:
    """Ask until there is an answer, or raise ParityFailed that says why there is none."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience_s
    while True:
        try:
            return await _answer(score, still_wanted, answer_timeout_s)
        except (Unavailable, Busy) as error:
            if loop.time() >= deadline:
                raise _unchecked(
                    f"was not there for {patience_s:.0f} s: {error.message}"
                ) from error
        except TimeoutError as error:
            raise _unchecked(f"did not answer within {answer_timeout_s:.0f} s") from error
        await asyncio.sleep(min(RETRY_S, max(0.05, deadline - loop.time())))


async def _answer(
    score: Score,
    still_wanted: Callable[[], None],
    timeout_s: float,
) -> list[float]:
    """One answer, while listening whether anybody still wants it."""
    asking = asyncio.create_task(score())
    try:
        async with asyncio.timeout(timeout_s):
            while not asking.done():
                still_wanted()
                await asyncio.wait({asking}, timeout=LISTEN_S)
        return asking.result()
    finally:
        asking.cancel()


def _unchecked(what: str) -> ParityFailed:
    return ParityFailed(
        f"The serving engine {what}. So the model could not be checked and was not published; the "
        "adapter is kept. When GET /healthz shows the engine as ready, create the job again.",
        code="parity_unchecked",
    )
