"""Problems show what is wrong with a row, and a row may be wrong right where it holds a secret.

What is known to be private is masked wherever a problem repeats a piece of its row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from modiste.prepare.inspect.credentials import secrets
from modiste.prepare.inspect.private import cards, emails, ibans, phones
from modiste.prepare.inspect.remark import mask
from modiste.types import Problem


def redacted(problem: Problem) -> Problem:
    """The problem, showing nothing private whole."""
    value = None if problem.value is None else masked(problem.value)
    message = masked(problem.message)
    if value == problem.value and message == problem.message:
        return problem
    return replace(problem, value=value, message=message)


def masked(text: str) -> str:
    for found in sorted(set(_private(text)), key=len, reverse=True):
        text = text.replace(found, mask(found))
    return text


def _private(text: str) -> Iterator[str]:
    yield from (secret.text for secret in secrets(text))
    if "@" in text:
        yield from (find.text for find in emails(text))
    if sum(map(str.isdigit, text)) >= 9:
        yield from (find.text for find in (*cards(text), *ibans(text), *phones(text)))
