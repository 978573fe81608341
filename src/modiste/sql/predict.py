"""Rows to answers: templates filled, prompts asked in a `window`, or all rows as one chat.

A row whose placeholders are all NULL has a NULL answer and asks nobody. There is no hidden system
message: what a version was tuned with is its `prompt`, and `prompt=` in USING overrides it. The
first failure ends the statement and cancels what is under way, unless `on_error = 'null'`.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, NamedTuple

from modiste.actions import completions
from modiste.actions.completions import Ask
from modiste.errors import Busy, ModisteError
from modiste.serve.sequence import Sampling
from modiste.sql import errors
from modiste.sql.session import Session
from modiste.sql.window import Window, already
from modiste.types import Message, PredictorStatus, PredictorVersion, Role

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


@dataclass
class Asking:
    """A version and all that was said of how it is asked; rows are asked one by one, or as a chat.

    It counts what failed, for `finished` to tell.
    """

    session: Session
    version: PredictorVersion
    options: Mapping[str, Any]
    sampling: Sampling
    most: int
    """Rows that are allowed."""
    skips: bool
    """A question that fails has a NULL answer."""
    n_asked: int = 0
    n_failed: int = 0
    failure: str = ""

    @property
    def is_chat(self) -> bool:
        """All rows are one conversation, so they are asked together."""
        return bool(self.options.get("mode", "default") != "default")

    def inputs(self) -> list[str]:
        """Names of the columns that are read, in lower case."""
        known = self.options.get("assistant_column") if self.is_chat else None
        return [*columns_of(self.options), *([str(known).lower()] if known else [])]

    def refuse_missing(self, names: Sequence[str]) -> None:
        """Raises SqlError: a column that is read is not among these."""
        missing = sorted({name for name in columns_of(self.options) if name not in names})
        if missing:
            raise errors.no_column(
                f"{self.version.name} reads column {', '.join(missing)}, and the data has "
                f"{', '.join(names) or 'none'}."
            )

    def ask(self, window: Window, row: Inputs) -> asyncio.Future[str | None]:
        prompt = _prompt(row, self.options)
        if prompt is None:
            return already(None)
        key = None
        if self.sampling.temperature == 0:
            text = repr(prompt.messages).encode(errors="surrogatepass")
            key = (id(self), hashlib.blake2b(text, digest_size=16).digest())
        return window.ask(key, lambda: self._answer(prompt))

    def finished(self) -> None:
        if self.n_failed:
            self.session.notes.append(
                f"{self.n_failed} of {self.n_asked} prompts failed: {self.failure}"
            )

    async def _answer(self, prompt: _Prompt) -> str | None:
        self.n_asked += 1
        try:
            return await _one(self, prompt)
        except ModisteError as error:
            if not self.skips:
                raise
            self.n_failed += 1
            self.failure = self.failure or error.message
            return None

    async def conversation(self, rows: Sequence[Inputs]) -> list[str | None]:
        """One chat of all rows: an answer to each where the mode says full, else to the last."""
        whole = str(self.options["mode"]).endswith("full")
        talk: list[tuple[str, str]] = []
        if self.options.get("prompt"):
            talk.append(("system", str(self.options["prompt"])))
        known = str(self.options.get("assistant_column") or "").lower()
        found: list[str | None] = []
        for number, row in enumerate(rows):
            prompt = _prompt(row, {**self.options, "prompt": None})
            if prompt is None:
                found.append(None)
                continue
            talk += prompt.messages
            if whole or number == len(rows) - 1:
                said = await _one(self, _Prompt(tuple(talk)))
                talk.append(("assistant", said))
                found.append(said)
                continue
            if row.get(known):
                talk.append(("assistant", _text(row[known])))
            found.append("")
        return found


def asking(session: Session, version: PredictorVersion, using: Mapping[str, object]) -> Asking:
    """
    Raises:
        SqlError: the version cannot answer, or `using` says what cannot be.
    """
    refuse_unready(version)
    options = {**version.options, **_checked(using)}
    if "partition_size" in using:
        session.notes.append("partition_size changes nothing here: rows are asked as they come.")
    most = _whole(using, "max_rows", MAX_ROWS)
    sampling = _sampling(options, session.notes)
    return Asking(session, version, options, sampling, most, using.get("on_error") == "null")


async def answers(
    session: Session, version: PredictorVersion, rows: Sequence[Inputs], using: Mapping[str, object]
) -> list[str | None]:
    """One answer per row, in order.

    Args:
        rows: inputs by lower-case name.

    Raises:
        SqlError: the version cannot answer, a column is missing, too many rows, or a model failed.
    """
    made = asking(session, version, using)
    if len(rows) > made.most:
        raise errors.too_many_rows(len(rows), made.most, counted=len(rows))
    for row in rows:
        made.refuse_missing(tuple(row))
    if made.is_chat:
        try:
            return await made.conversation(rows)
        except ModisteError as error:
            raise errors.translated(error) from None
    window, pieces = Window(), iter([rows])

    async def more() -> Sequence[Inputs] | None:
        return next(pieces, None)

    told = window.in_order(more, lambda row: (made.ask(window, row),))
    async with aclosing(told):
        found = [answer async for ready in told for _, (answer,) in ready]
    made.finished()
    return found


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


def _prompt(row: Inputs, options: Mapping[str, Any]) -> _Prompt | None:
    names = columns_of(options)
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


async def _one(asking: Asking, prompt: _Prompt) -> str:
    stop = asking.options.get("stop") or ()
    ask = Ask(
        model=str(asking.version.model),
        messages=tuple(Message(Role(role), text) for role, text in prompt.messages),
        sampling=asking.sampling,
        stop=(stop,) if isinstance(stop, str) else tuple(str(each) for each in stop),
    )
    session = asking.session
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
