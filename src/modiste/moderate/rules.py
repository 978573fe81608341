"""Rules: texts to finds, in this process, without a model. Each find says where it stands.

A rule's score is 1 where something was found and 0 where nothing was. What counts as personal or
secret is decided by the inspectors that look into training data. Words are compared as people read
them (`plain`), so that signs without width or letters of another script hide nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import regex

from modiste.errors import ModisteError
from modiste.moderate import injection, smuggling
from modiste.moderate.detectors import (
    Injection,
    Length,
    Personal,
    Rule,
    Secrets,
    Smuggling,
    Words,
)
from modiste.moderate.encoded import encoded
from modiste.moderate.plain import LEET, Plain, plain, spelt
from modiste.prepare.inspect import credentials, private
from modiste.prepare.inspect.national_ids import national_ids

PATTERN_TIMEOUT_S = 0.5
"""Of one pattern on one text: a pattern that takes longer is a failure of its rule."""

MADE_UP = (private.EMAIL_MADE_UP, private.PHONE_MADE_UP)
"""Reserved for examples: nobody's."""

Span = tuple[int, int]
"""First character and the one behind the last."""


class RuleFailed(ModisteError):
    """A rule could not decide about a text."""

    code = "detector_failed"
    http_status = 500


class Find(NamedTuple):
    what: str
    span: Span


def finds(rule: Rule, text: str) -> list[Find]:
    """Everything the rule finds, in the order of the text.

    Raises:
        RuleFailed: a pattern takes too long.
    """
    try:
        found = dict.fromkeys(_FINDERS[type(rule)](rule, text))  # Two patterns may say the same.
        return sorted(found, key=lambda find: find.span)
    except TimeoutError:
        raise RuleFailed(
            f"a pattern of {rule.name} takes longer than {PATTERN_TIMEOUT_S} s on a text of "
            f"{len(text)} characters; write it without nested repetition"
        ) from None


def _words(rule: Words, text: str) -> Iterator[Find]:
    within = [each.span for each in _listed(rule.except_, text)]
    for find in [*_listed(rule.words, text), *_listed_encoded(rule.words, text)]:
        if not any(start <= find.span[0] and find.span[1] <= end for start, end in within):
            yield find
    for pattern in rule.patterns:
        for found in regex.finditer(pattern, text, timeout=PATTERN_TIMEOUT_S):
            if found.end() > found.start():
                yield Find(pattern, found.span())


def _listed(words: tuple[str, ...], text: str) -> list[Find]:
    """Whole words, wherever the text says them once it is plain."""
    if not words:
        return []
    bare = plain(text)
    together = spelt(bare)
    known = {_as_read(word): word for word in words}
    either = "|".join(regex.escape(word) for word in sorted(known, key=len, reverse=True))
    found = []
    # Digits stand for letters in a second look alone: `4 pounds` is no word of the first.
    looks = dict.fromkeys((bare, _letters(bare), together, _letters(together)))
    for read in looks:
        for match in regex.finditer(rf"(?<!\w)(?:{either})(?!\w)", read.text):
            found.append(Find(known[match[0]], read.span(match.start(), match.end())))
    return list(dict.fromkeys(found))


def _listed_encoded(words: tuple[str, ...], text: str) -> Iterator[Find]:
    for piece in encoded(text) if words else ():
        for find in _listed(words, piece.text):
            yield Find(find.what, piece.span)


def _letters(read: Plain) -> Plain:
    return read._replace(text=read.text.translate(LEET))


def _as_read(word: str) -> str:
    return plain(word).text


def _personal(rule: Personal, text: str) -> Iterator[Find]:
    finders: dict[str, Callable[[str], Iterator[private.Find]]] = {
        "email": private.emails,
        "card": private.cards,
        "iban": private.ibans,
        "phone": private.phones,
    }
    taken: list[Span] = []
    for name, finder in finders.items():  # A card is no phone: the first that names it counts.
        if name == "phone" and "national_id" in rule.finds:
            for national in national_ids(text):
                yield from _untaken(national.name, national.text, national.start, taken)
        if name in rule.finds:
            for find in finder(text):
                if find.kind in MADE_UP:
                    continue
                yield from _untaken(find.kind.code, find.text, find.start, taken)


def _untaken(what: str, found: str, start: int, taken: list[Span]) -> Iterator[Find]:
    span = (start, start + len(found))
    if not any(span[0] < end and begun < span[1] for begun, end in taken):
        taken.append(span)
        yield Find(what, span)


def _secrets(rule: Secrets, text: str) -> Iterator[Find]:
    for secret in credentials.secrets(text):
        start = text.find(secret.text)
        while start >= 0:
            yield Find(secret.code, (start, start + len(secret.text)))
            start = text.find(secret.text, start + len(secret.text))


def _injection(rule: Injection, text: str) -> Iterator[Find]:
    for each in injection.attempts(text):
        yield Find(each.what, each.span)


def _smuggling(rule: Smuggling, text: str) -> Iterator[Find]:
    for each in smuggling.hidden(text):
        yield Find(each.what, each.span)


def _length(rule: Length, text: str) -> Iterator[Find]:
    if len(text) > rule.max_characters:
        yield Find(f"over {rule.max_characters} characters", (rule.max_characters, len(text)))


_FINDERS: dict[type, Callable[..., Iterator[Find]]] = {
    Words: _words,
    Personal: _personal,
    Secrets: _secrets,
    Injection: _injection,
    Smuggling: _smuggling,
    Length: _length,
}
