"""Parity: what the live endpoint computes against what training computed, row by row.

The trainer left rows with their ids, loss mask, teacher-forced logprobs and greedy answers. Here
the same conversations go through the prompt path that completions use and through the serving
engine. Token ids must be equal, logprobs and loss within the tolerance of the kind of weights that
are served, greedy answers equal where it is exact, or the job fails and says where the two part. A
model that the engine cannot compute is compared with its own files, read afresh (reread.py), and
the certificate says that it is not served. Where a vLLM server answers for the base, that is asked.

The other forms the model may be served or exported in are computed from the published files and
told in the same certificate; one of them that is not within its tolerance fails no job. The result
is stored with the model.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from modiste.errors import ParityFailed
from modiste.nn import servable
from modiste.nn.base import describe_base
from modiste.prepare import render
from modiste.prepare.render import Renderer
from modiste.serve import vllm_adapters
from modiste.serve.vllm import VllmEngine
from modiste.types import CheckedForm, FormStatus, Parity
from modiste.work import live, reread
from modiste.work.closeness import (
    ELSEWHERE,
    EXACT,
    ROUNDED,
    Answers,
    Found,
    Tolerance,
    close,
    figures,
    form_of,
)
from modiste.work.live import Asked, Patience
from modiste.work.reread import MERGED, TRANSFORMERS, TRANSFORMERS_MERGED, Unread
from modiste.work.trained_rows import Row, ids_part, read_rows, token_text

PATIENCE_S = 120.0
"""For an engine that is starting, restarting or full."""
MOST_PARAMETERS = 500_000_000
"""Of bases whose other forms are computed: on a laptop's processor that takes a minute or two."""
MEMORY_PER_PARAMETER = 4 * 1.3
"""Bytes: one model in fp32, and what loading it takes."""
KINDS = ("fp32", "bf16", "int8")
UNKNOWN, VLLM, READ_AFRESH = "as served", "vllm", "transformers"


@dataclass(frozen=True)
class _Decided:
    """The form that decides, and what it says."""

    name: str
    how: str
    answers: Answers
    tolerance: Tolerance
    unserved: str | None = None
    others: Mapping[str, Answers | Unread] | None = None
    """Of the other forms, where they were computed along the way."""


Again = Callable[..., dict[str, Answers | Unread]]
"""reread.answers, but for `forms`."""


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
    parted = [part for row in rows if (part := ids_part(row, renderer))]
    if parted:
        raise ParityFailed(_failure(parted))

    again = partial(
        reread.answers,
        run_dir,
        rows,
        base=base_path,
        adapter=adapter_folder,
        environment=environment,
        still_wanted=still_wanted,
        timeout_s=answer_timeout_s,
    )
    named = None if adapter_folder is None else str(adapter_folder)
    asked = Asked(rows, base_path, named, adapter_version)
    patiently = Patience(still_wanted, patience_s, answer_timeout_s)
    unserved = servable.why_not(base_path, adapter_folder)
    if elsewhere is not None:
        unserved = None if adapter_folder is None else vllm_adapters.why_not(adapter_folder)
    if unserved is not None:
        decided = _read_afresh(again, unserved, base_path, adapter_folder)
    elif elsewhere is not None:
        answers = asyncio.run(live.of_server(asked, elsewhere, patiently))
        decided = _Decided(VLLM, "through the vLLM server", answers, ELSEWHERE)
    else:
        decided = _through_engine(asked, process_dir, patiently)
    found = _close(rows, decided.answers, decided.tolerance, renderer)
    if found.parted:
        raise ParityFailed(_failure(found.parted))
    own = form_of(found, decided.name, how=decided.how, live=decided.unserved is None)
    others = _other_forms(rows, decided, again, renderer, base_path, adapter_folder)
    return _passed(found, decided, (own, *others))


def _through_engine(asked: Asked, process_dir: Path, patiently: Patience) -> _Decided:
    told = asyncio.run(live.of_engine(asked, process_dir, patiently))
    kind = UNKNOWN if told.lane is None else str(told.lane["linear"])
    exact = told.lane is None or told.lane["exact"]  # Put away since: then hold it to the most.
    tolerance = EXACT if exact else ROUNDED[kind]
    how = "through the live engine" + (", exact" if told.lane is not None and exact else "")
    return _Decided(kind, how, told.answers, tolerance)


def _read_afresh(again: Again, unserved: str, base: Path, adapter: Path | None) -> _Decided:
    """The other forms are computed by the same child: half of what it takes is its start."""
    names = [] if _too_large(base) else _names(base, adapter, READ_AFRESH)
    told = again(forms=[TRANSFORMERS, *names])
    own = told[TRANSFORMERS]
    if isinstance(own, Unread):
        raise ParityFailed(
            f"Reading the model's files afresh {own.reason}. So it could not be checked and was "
            "not published; the files are kept.",
            code="parity_unchecked",
        )
    return _Decided(READ_AFRESH, "from the published files", own, EXACT, unserved, told)


def _names(base: Path, adapter: Path | None, decided: str) -> list[str]:
    """The forms that this model may take, without the one that decides."""
    served = servable.why_not(base, adapter) is None
    names = [kind for kind in KINDS if served and kind != decided]
    if adapter is not None:
        names.append(MERGED if servable.why_not(base) is None else TRANSFORMERS_MERGED)
    return names


def _other_forms(
    rows: Sequence[Row],
    decided: _Decided,
    again: Again,
    renderer: Renderer,
    base: Path,
    adapter: Path | None,
) -> list[CheckedForm]:
    """The forms that did not decide, each computed or with the reason why it was not."""
    names, reason = _names(base, adapter, decided.name), _too_large(base)
    told: Mapping[str, Answers | Unread] = decided.others or {}
    if decided.others is None and reason is None and names:
        told = again(forms=names)
    forms = []
    for name in names:
        answers = told.get(name)
        called = MERGED if name == TRANSFORMERS_MERGED else name
        if isinstance(answers, Answers):
            found = _close(rows, answers, _tolerance_of(called, base), renderer)
            forms.append(form_of(found, called, how=_how(called)))
        else:
            why = reason if answers is None else f"reading the files afresh {answers.reason}"
            forms.append(CheckedForm(called, FormStatus.NOT_CHECKED, str(why)))
    return forms


def _tolerance_of(form: str, base: Path) -> Tolerance:
    """Merged weights are rounded as the base's are stored."""
    if form == "fp32":
        return EXACT
    if form == MERGED:
        exact = describe_base(base).weights_bytes >= 4 * describe_base(base).n_parameters
        return EXACT if exact else ROUNDED["bf16"]
    return ROUNDED[form]


def _how(form: str) -> str:
    if form == MERGED:
        return "base and adapter as one, from the published files"
    return "as the engine would serve it, from the published files"


def _too_large(base: Path) -> str | None:
    """Why forms of this base are not computed beside the one that decided; None if they are."""
    n = describe_base(base).n_parameters
    if n > MOST_PARAMETERS:
        return (
            f"the base has {n / 1e6:,.0f} million parameters, and forms that are not served are "
            f"computed for up to {MOST_PARAMETERS / 1e6:.0f} million"
        )
    needed, free = n * MEMORY_PER_PARAMETER, psutil.virtual_memory().available
    if needed > free:
        return f"it takes {needed / 1e9:.1f} GB of memory and {free / 1e9:.1f} GB are free"
    return None


def _close(
    rows: Sequence[Row], answers: Answers, tolerance: Tolerance, renderer: Renderer
) -> Found:
    return close(
        rows, answers, tolerance, lambda ids, position: token_text(ids, position, renderer)
    )


def _failure(parted: Sequence[str]) -> str:
    return (
        "The served model does not compute what training computed: "
        + "; ".join(parted)
        + ". The adapter is kept, but no model was published. This is a fault of the software, "
        "not of your data: please report it with this message."
    )


def _passed(found: Found, decided: _Decided, forms: tuple[CheckedForm, ...]) -> Parity:
    told = f"{found.n_rows} rows, {found.n_tokens} tokens, ids equal, {figures(found)}."
    message = f"Served as trained: {told}"
    if decided.unserved is not None:
        message = (
            f"Not served here: {decided.unserved}. Its files, read afresh with transformers, "
            f"compute what training computed: {told} `modiste models export` makes it ready for "
            "other servers."
        )
    apart = [form.name for form in forms if form.status is FormStatus.APART]
    if apart:
        message += f" Not within tolerance in other forms: {', '.join(apart)}."
    return Parity(
        passed=True,
        n_rows=found.n_rows,
        n_tokens=found.n_tokens,
        max_abs_logprob_diff=found.largest,
        mean_abs_logprob_diff=found.mean,
        tolerance=found.tolerance.largest,
        base_gap=found.gap,
        message=message,
        served=decided.unserved is None,
        forms=forms,
    )
