"""Labels of classifier rows: missing, spelt in several ways, rare, contradictory, one-sided.

What matters shows only in the whole file, so this is an accumulator. Kept are a count for each
value and, for texts, eight bytes each up to a number that is said when it is reached.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Self

from modiste.prepare.inspect.remark import Passage, Remark, brief
from modiste.types import Example, SampleType

MAX_VALUES = 5_000
"""Different values of one label; further ones are no classes."""
MAX_TEXTS = 300_000
"""Texts remembered to find contradictions."""
RARE = 10
"""Rows that a class needs to be learned and measured at all."""
SHOWN = 5
_HALF = (1 << 32) - 1


class Labels:
    def __init__(self) -> None:
        self.n_rows = 0
        self.values: dict[str, dict[str, list[int]]] = {}
        """Label to value to number of rows and first line."""
        self.texts: dict[int, int] = {}
        """Hash of a text to its first line and half a hash of its labels, in one number."""
        self.clashes: dict[int, int] = {}
        """Hash of a text to the first line that gives it other labels."""
        self.without: dict[tuple[str, ...], list[int]] = {}
        """Which labels rows have, to their number and first line."""

    def add(self, example: Example, passages: Sequence[Passage]) -> None:
        if example.sample_type is not SampleType.CLASSIFIER:
            return
        self.n_rows += 1
        present = tuple(sorted(example.labels))
        self.without.setdefault(present, [0, example.line])[0] += 1
        for name in present:
            counts = self.values.setdefault(name, {})
            for value in example.labels[name]:
                if value in counts or len(counts) < MAX_VALUES:
                    counts.setdefault(value, [0, example.line])[0] += 1
        labels = _label_mark(example.labels) & _HALF
        self._remember(_mark(passages), example.line << 32 | labels)

    def _remember(self, text: int, row: int) -> None:
        known = self.texts.get(text)
        if known is None:
            if len(self.texts) < MAX_TEXTS:
                self.texts[text] = row
        elif (known ^ row) & _HALF:
            self.clashes.setdefault(text, row >> 32)

    def merge(self, later: Self, lines_before: int) -> None:
        self.n_rows += later.n_rows
        for present, (n, line) in later.without.items():
            self.without.setdefault(present, [0, line + lines_before])[0] += n
        for name, values in later.values.items():
            counts = self.values.setdefault(name, {})
            for value, (n, line) in values.items():
                if value in counts or len(counts) < MAX_VALUES:
                    counts.setdefault(value, [0, line + lines_before])[0] += n
        for text, row in later.texts.items():
            self._remember(text, row + (lines_before << 32))
        for text, line in later.clashes.items():
            if text in self.texts:
                self.clashes.setdefault(text, line + lines_before)

    def remarks(self) -> Iterator[Remark]:
        if not self.n_rows:
            return
        yield from self._missing()
        yield from self._contradictions()
        for name, counts in sorted(self.values.items()):
            path = f"labels.{name}"
            yield from _spellings(path, counts)
            yield from _sizes(path, counts)

    def _missing(self) -> Iterator[Remark]:
        for name in sorted(self.values):
            lacking = [entry for present, entry in self.without.items() if name not in present]
            if lacking:
                n, line = sum(n for n, _ in lacking), min(line for _, line in lacking)
                said = f"labels.{name} is missing in {_n_rows(n)}, first in line {line}"
                hint = "give every row every label, or train one classifier for each"
                yield Remark(f"labels.{name}", "label_missing", said, None, hint, line=line)

    def _contradictions(self) -> Iterator[Remark]:
        if not self.clashes:
            return
        found = sorted((line, self.texts[text] >> 32) for text, line in self.clashes.items())
        shown = ", ".join(f"line {line} and line {first}" for line, first in found[:SHOWN])
        more = f" and {len(found) - SHOWN:,} more" if len(found) > SHOWN else ""
        bound = f" (of the first {MAX_TEXTS:,} texts)" if len(self.texts) >= MAX_TEXTS else ""
        n = "1 text has" if len(found) == 1 else f"{len(found):,} texts have"
        said = f"{n} different labels in different rows: {shown}{more}{bound}"
        hint = "decide for one label, or take the rows out"
        value = str(len(found))
        yield Remark("labels", "label_contradiction", said, value, hint, line=found[0][0])


def _spellings(path: str, counts: Mapping[str, list[int]]) -> Iterator[Remark]:
    """Values that are one but for case, spaces and punctuation, and values a letter apart."""
    folded: dict[str, list[str]] = {}
    for value in counts:
        key = "".join(letter for letter in value.casefold() if letter.isalnum()) or value
        folded.setdefault(key, []).append(value)
    for same in folded.values():
        if len(same) > 1:
            named = ", ".join(f"{brief(value)!r} ({counts[value][0]:,})" for value in same[:SHOWN])
            said = f"{path} spells one value in several ways: {named}"
            line = counts[min(same, key=lambda value: counts[value][0])][1]
            hint = "they train as different classes; spell them alike"
            yield Remark(path, "label_spelling", said, brief(same[0]), hint, line=line)
    yield from _typing_errors(path, {key: same[0] for key, same in folded.items()}, counts)


def _typing_errors(
    path: str, folded: Mapping[str, str], counts: Mapping[str, list[int]]
) -> Iterator[Remark]:
    """A rare value that nearly equals a common one: twenty times as many, at most two letters."""
    rare = [key for key, value in folded.items() if counts[value][0] <= 3 and len(key) >= 5]
    common = [key for key, value in folded.items() if counts[value][0] >= 20]
    for key in rare[:200]:
        close = difflib.get_close_matches(key, common, n=1, cutoff=1 - 2.1 / (2 * len(key)))
        if close:
            value, meant = folded[key], folded[close[0]]
            said = (
                f"{path} has the value {brief(value)!r} in {_n_rows(counts[value][0])}, "
                f"close to {brief(meant)!r} in {_n_rows(counts[meant][0])}"
            )
            hint = "probably a typing error"
            yield Remark(path, "label_near", said, brief(value), hint, line=counts[value][1])


def _sizes(path: str, counts: Mapping[str, list[int]]) -> Iterator[Remark]:
    total = sum(n for n, _ in counts.values())
    if not counts:
        return  # No row holds any.
    if len(counts) == 1:
        value, (_, line) = next(iter(counts.items()))
        said = f"{path} is {brief(value)!r} in every row: there is nothing to tell apart"
        hint = "add rows of another class"
        yield Remark(path, "label_single", said, brief(value), hint, line=line)
        return
    if len(counts) >= MAX_VALUES or (total >= 50 and len(counts) > 0.5 * total):
        said = (
            f"{path} has {len(counts):,} different values in {_n_rows(total)}: these are no classes"
        )
        hint = "a classifier needs few values with many rows each"
        yield Remark(path, "label_too_many", said, str(len(counts)), hint)
        return
    rare = sorted((n, value) for value, (n, _) in counts.items() if n < RARE)
    if rare and total >= RARE * len(counts):
        named = ", ".join(f"{brief(value)!r} ({n})" for n, value in rare[:SHOWN])
        more = f" and {len(rare) - SHOWN:,} more" if len(rare) > SHOWN else ""
        said = f"{path} has values with fewer than {RARE} rows: {named}{more}"
        hint = "add rows, merge classes, or leave them out"
        line = counts[rare[0][1]][1]
        yield Remark(path, "label_rare", said, brief(rare[0][1]), hint, line=line)
    value, (most, _) = max(counts.items(), key=lambda item: item[1][0])
    if total >= 50 and most >= 0.9 * total:
        said = f"{path} is {brief(value)!r} in {most / total:.0%} of {_n_rows(total)}"
        hint = "always answering this would look right; add rows of the other classes"
        yield Remark(path, "label_imbalance", said, brief(value), hint)


def _n_rows(n: int) -> str:
    return "1 row" if n == 1 else f"{n:,} rows"


def _mark(passages: Sequence[Passage]) -> int:
    text = "\n".join(" ".join(passage.text.casefold().split()) for passage in passages)
    return _hash(text)


def _label_mark(labels: Mapping[str, tuple[str, ...]]) -> int:
    return _hash(repr(sorted((name, sorted(values)) for name, values in labels.items())))


def _hash(text: str) -> int:
    data = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest())
