"""Rows to answers: templates filled, equal prompts asked once, a bounded number at a time.

A row whose placeholders are all NULL has a NULL answer and asks nobody. There is no hidden system
message: what a version was tuned with is its `prompt`, and `prompt=` in USING overrides it. The
first failure ends the statement and cancels what is under way, unless `on_error = 'null'`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from modiste.actions import completions
from modiste.actions.completions import Ask
from modiste.errors import Busy, ModisteError
from modiste.serve.sequence import Sampling
from modiste.sql import errors
from modiste.sql.session import Session
from modiste.types import Message, PredictorStatus, PredictorVersion, Role

AT_A_TIME = 32
MAX_ROWS = 10_000
MAX_TOKENS = 100
BUSY_TRIES = 20
PLACEHOLDER = re.compile(r"\{\{\s*([^{}]+?)\s*\}\}")
OURS = frozenset({"max_rows", "on_error", "partition_size"})
SETTABLE = frozenset(
    {
        "max_tokens", "temperature", "top_p", "stop", "seed", "presence_penalty",
        "frequency_penalty", "prompt_template", "prompt", "mode",
    }
)  # fmt: skip
Inputs = Mapping[str, object]


class _Prompt(NamedTuple):
    messages: tuple[tuple[str, str], ...]
    """Role and text."""


async def answers(
    session: Session, version: PredictorVersion, rows: Sequence[Inputs], using: Mapping[str, object]
) -> list[str | None]:
    """One answer per row, in order.

    Args:
        rows: inputs by lower-case name.

    Raises:
        SqlError: the version cannot answer, a column is missing, too many rows, or a model failed.
    """
    refuse_unready(version)
    options = {**version.options, **_checked(using)}
    limit = _whole(using, "max_rows", MAX_ROWS)
    if "partition_size" in using:
        session.notes.append("partition_size changes nothing here: rows are asked as they come.")
    if len(rows) > limit:
        raise errors.bad(
            f"{len(rows):,} rows would be asked, and {limit:,} are allowed: add LIMIT, or "
            f"USING max_rows = {len(rows)}."
        )
    mode = options.get("mode", "default")
    if mode != "default":
        return await _conversation(session, version, rows, options, whole=mode.endswith("full"))
    prompts = [_prompt(version, row, options) for row in rows]
    sampling = _sampling(options, session.notes)
    same = sampling.temperature == 0
    wanted: dict[object, _Prompt] = {}
    for number, prompt in enumerate(prompts):
        if prompt is not None:
            wanted.setdefault(prompt if same else number, prompt)
    skips = using.get("on_error") == "null"
    told = await _all(session, version, wanted, sampling, options, skips=skips)
    return [
        None if prompt is None else told[prompt if same else number]
        for number, prompt in enumerate(prompts)
    ]


def refuse_unready(version: PredictorVersion) -> None:
    if version.status is PredictorStatus.GENERATING:
        raise errors.bad("Error: model creation not completed")
    if version.status is PredictorStatus.ERROR or version.model is None:
        more = "" if version.active else f" and version = {version.version}"
        raise errors.bad(  # Words for a person; nobody runs them.
            f"The model '{version.name}' cannot be used as it is currently in 'error' status.\n"  # noqa: S608
            "For detailed information about the error, please execute the following command:\n\n"
            f"    select error from information_schema.models where name = '{version.name}'"
            f"{more};"
        )


def columns_of(options: Mapping[str, Any]) -> list[str]:
    """Names of the inputs that a version reads."""
    if options.get("prompt_template"):
        return [found.lower() for found in PLACEHOLDER.findall(str(options["prompt_template"]))]
    if options.get("question_column"):
        names = [options.get("context_column"), options["question_column"]]
        return [str(name).lower() for name in names if name]
    return [str(options.get("user_column") or "question").lower()]


def filled(template: str, row: Inputs) -> str:
    """With the values of a row in place of `{{column}}`; NULL is empty."""
    return PLACEHOLDER.sub(lambda found: _text(row[found[1].strip().lower()]), template)


def _checked(using: Mapping[str, object]) -> dict[str, object]:
    wrong = sorted(set(using) - SETTABLE - OURS)
    if wrong:
        raise errors.bad(
            f"USING: {', '.join(wrong)} cannot be said with a query, only "
            f"{', '.join(sorted(SETTABLE | OURS))}."
        )
    if using.get("on_error", "abort") not in ("abort", "null"):
        raise errors.bad(f"on_error is {using['on_error']!r}, expected 'abort' or 'null'")
    return {key: value for key, value in using.items() if key in SETTABLE}


def _prompt(version: PredictorVersion, row: Inputs, options: Mapping[str, Any]) -> _Prompt | None:
    names = columns_of(options)
    missing = sorted({name for name in names if name not in row})
    if missing:
        raise errors.no_column(
            f"{version.name} reads column {', '.join(missing)}, and the data has "
            f"{', '.join(row) or 'none'}."
        )
    if names and all(row[name] is None for name in names):
        return None
    if options.get("prompt_template"):
        text = filled(str(options["prompt_template"]), row)
    elif options.get("question_column") and options.get("context_column"):
        context, question = (_text(row[name]) for name in names)
        text = f"Context: {context}\nQuestion: {question}\nAnswer: "
    else:
        text = _text(row[names[0]])
    system = options.get("prompt")
    before = (("system", str(system)),) if system else ()
    return _Prompt((*before, ("user", text)))


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _whole(options: Mapping[str, object], name: str, default: int) -> int:
    value = options.get(name, default)
    try:
        return int(str(value))
    except ValueError:
        raise errors.bad(f"{name} is {value!r}, expected a whole number") from None


def _sampling(options: Mapping[str, Any], notes: list[str]) -> Sampling:
    """MindsDB keeps temperatures between 0 and 1; here whoever says another is told."""

    def number(name: str, default: float) -> float:
        value = options.get(name, default)
        try:
            return float(value)
        except (TypeError, ValueError):
            raise errors.bad(f"{name} is {value!r}, expected a number") from None

    wished = number("temperature", 0.0)
    temperature = min(max(wished, 0.0), 1.0)
    if temperature != wished:
        notes.append(f"temperature is {wished:g}; {temperature:g} is taken, the nearest of 0 to 1.")
    seed = None if options.get("seed") is None else _whole(options, "seed", 0)
    try:
        return Sampling(
            temperature=temperature,
            max_tokens=_whole(options, "max_tokens", MAX_TOKENS),
            top_p=number("top_p", 1.0),
            presence_penalty=number("presence_penalty", 0.0),
            frequency_penalty=number("frequency_penalty", 0.0),
            seed=seed,
        )
    except ModisteError as error:
        raise errors.translated(error) from None


async def _all(
    session: Session,
    version: PredictorVersion,
    wanted: Mapping[object, _Prompt],
    sampling: Sampling,
    options: Mapping[str, Any],
    *,
    skips: bool,
) -> dict[object, str | None]:
    told: dict[object, str | None] = {}
    waiting = iter(wanted.items())
    failed: list[str] = []

    async def work() -> None:
        for key, prompt in waiting:
            try:
                told[key] = await _one(session, version, prompt, sampling, options)
            except ModisteError as error:
                if not skips:
                    raise
                told[key] = None
                failed.append(error.message)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(AT_A_TIME, len(wanted))):
                group.create_task(work())
    except* ModisteError as failures:
        raise errors.translated(_first(failures)) from None
    if failed:
        session.notes.append(f"{len(failed)} of {len(wanted)} prompts failed: {failed[0]}")
    return told


def _first(failures: ExceptionGroup[ModisteError]) -> ModisteError:
    found = failures.exceptions[0]
    return _first(found) if isinstance(found, ExceptionGroup) else found


async def _one(
    session: Session,
    version: PredictorVersion,
    prompt: _Prompt,
    sampling: Sampling,
    options: Mapping[str, Any],
) -> str:
    stop = options.get("stop") or ()
    ask = Ask(
        model=str(version.model),
        messages=tuple(Message(Role(role), text) for role, text in prompt.messages),
        sampling=sampling,
        stop=(stop,) if isinstance(stop, str) else tuple(str(each) for each in stop),
    )
    tried = 0
    while True:
        try:
            said = await completions.create(session.place.serving, session.caller, ask)
            return said.choices[0].text
        except Busy as error:
            tried += 1
            if tried == BUSY_TRIES or error.error_code == "budget_spent":
                raise
            await asyncio.sleep(min(error.retry_after_s or 0.5, 5.0))


async def _conversation(
    session: Session,
    version: PredictorVersion,
    rows: Sequence[Inputs],
    options: Mapping[str, Any],
    *,
    whole: bool,
) -> list[str | None]:
    """One chat of all rows: an answer to each (`whole`), or to the last alone."""
    sampling = _sampling(options, session.notes)
    talk: list[tuple[str, str]] = []
    if options.get("prompt"):
        talk.append(("system", str(options["prompt"])))
    known = str(options.get("assistant_column") or "").lower()
    found: list[str | None] = []
    for number, row in enumerate(rows):
        prompt = _prompt(version, row, {**options, "prompt": None})
        last = number == len(rows) - 1
        if prompt is None:
            found.append(None)
            continue
        talk += prompt.messages
        if whole or last:
            said = await _one(session, version, _Prompt(tuple(talk)), sampling, options)
            talk.append(("assistant", said))
            found.append(said)
            continue
        if row.get(known):
            talk.append(("assistant", _text(row[known])))
        found.append("")
    return found
