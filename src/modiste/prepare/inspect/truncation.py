"""Answers that stop before their end: a code fence or a JSON value left open, a sentence cut off.

A row is remarked only where its end is plainly missing; most answers without a full stop are
labels, queries or lists. Whether a generator's length limit cut them shows in the whole file: the
longest answers stop in the middle while the shorter ones do not, or many have the same length.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Self

from modiste.prepare.inspect.remark import Passage, Remark, answers

HINT = "generate it again with room for its end, or leave it out"
MIN_PROSE = 120
"""Characters an answer needs before its last word is judged."""
MIN_PILE = 5
"""Answers of one length that are no accident."""
MIN_ANSWERS = 40
"""Of a file, before its lengths are judged."""

FENCES = ("```", "~~~")
_FENCE = re.compile(r"^ {0,3}(?:```|~~~)", re.MULTILINE)
_OPEN_WORDS = frozenset(
    word
    for words in (
        "the a an and or of but because which my your their its our if than with from",
        "les des une und oder der dem eine einen los las una gli che het een van für но что для",
    )
    for word in words.split()
)
"""Words that end no sentence, nor mean anything else in another of these languages."""
_SENTENCE_END = re.compile(r"[.!?…。！？]['\"”’)\]]*\s")
_FINISHED = ".!?…。！？:;)\"'”’»]}`*|>~_-=/\\"


def inspect(passages: Sequence[Passage]) -> Iterator[Remark]:
    for path, text, _, _ in answers(passages):
        if (FENCES[0] in text or FENCES[1] in text) and len(_FENCE.findall(text)) % 2:
            said = f"{path} opens a code block that is never closed"
            yield Remark(path, "answer_code_open", said, None, HINT)
        elif text[:1] in "{[" and _json_is_cut(text):
            said = f"{path} is JSON that stops before it is closed"
            yield Remark(path, "answer_json_open", said, None, HINT)
        elif len(text) >= MIN_PROSE and (word := _cut_word(text)):
            said = f"{path} stops in the middle of a sentence, at “{word}”"
            yield Remark(path, "answer_cut", said, word, HINT)


def may_be_open(answers: Iterable[Passage]) -> bool:
    """Whether one of the answers can be cut, code blocks aside; a glance at both ends."""
    for _, text, _, _ in answers:
        if text[:1] in "{[" or (text[-1:] not in _FINISHED and len(text) >= MIN_PROSE):
            return True
    return False


def _json_is_cut(text: str) -> bool:
    """Whether brackets outside of strings stay open, in text that begins as JSON does."""
    if not re.match(r"\{\s*\"|\[\s*[\[{\"\d]", text):
        return False
    depth, quoted, escaped = 0, False, False
    for letter in text:
        if escaped:
            escaped = False
        elif quoted:
            escaped, quoted = letter == "\\", letter != '"'
        elif letter == '"':
            quoted = True
        elif letter in "{[":
            depth += 1
        elif letter in "}]":
            depth -= 1
            if depth == 0:
                return False
    return True


def _cut_word(text: str) -> str | None:
    """The last word, where no sentence can end with it and the answer has sentences before."""
    if text[-1] in _FINISHED or text[-1].isdigit():
        return None
    end = text[-MIN_PROSE:].rstrip()
    word = end.rpartition(" ")[2]
    open_ended = word.lower() in _OPEN_WORDS or (word[-1:] in ",(" and word[-2:-1].isalpha())
    if not open_ended or "\n" in end[-40:] or not _SENTENCE_END.search(text, 0, len(text) - 1):
        return None
    return word[-20:]


class Lengths:
    """How long the answers of a file are, and which of them end like a cut one."""

    def __init__(self) -> None:
        self.finished: dict[int, int] = {}
        """Length in characters to the number of answers; long ones in steps of 1 %."""
        self.unfinished: dict[int, list[int]] = {}
        """The same, with the first line behind the number."""

    def add(self, line: int, answers: Sequence[Passage]) -> None:
        for _, text, _, _ in answers:
            length = _step(len(text))
            if text.rstrip()[-1:] in _FINISHED or text[-1:].isdigit():
                self.finished[length] = self.finished.get(length, 0) + 1
            else:
                self.unfinished.setdefault(length, [0, line])[0] += 1

    def merge(self, later: Self, lines_before: int) -> None:
        for length, n in later.finished.items():
            self.finished[length] = self.finished.get(length, 0) + n
        for length, (n, line) in later.unfinished.items():
            self.unfinished.setdefault(length, [0, line + lines_before])[0] += n

    def remarks(self) -> Iterator[Remark]:
        total = sum(self.finished.values()) + sum(n for n, _ in self.unfinished.values())
        if total < MIN_ANSWERS or not self.unfinished:
            return
        yield from self._pile() or self._long_ones(total)

    def _pile(self) -> list[Remark]:
        """Many unfinished answers of one length, and hardly any longer ones."""
        length, (n, line) = max(self.unfinished.items(), key=lambda item: (item[1][0], item[0]))
        same = n + self.finished.get(length, 0)
        longer = sum(n for at, n in self.finished.items() if at > length)
        longer += sum(n for at, (n, _) in self.unfinished.items() if at > length)
        neighbours = sum(
            self.finished.get(at, 0) + self.unfinished.get(at, [0, 0])[0]
            for at in range(length - 5, length)
        )
        if length < MIN_PROSE or n < MIN_PILE or 2 * n < same or longer > n or neighbours > n:
            return []
        said = f"{n:,} answers stop in the middle at {length:,} characters: they were cut there"
        return [Remark("", "answers_cut_at_length", said, str(length), HINT, line=line)]

    def _long_ones(self, total: int) -> list[Remark]:
        """Unfinished ends among the longest tenth, not among the rest."""
        top = total // 10
        seen, cut, lines = 0, 0, []
        shortest = 0
        for length in sorted(self.finished.keys() | self.unfinished.keys(), reverse=True):
            n, line = self.unfinished.get(length, [0, 0])
            seen += n + self.finished.get(length, 0)
            cut += n
            lines += [line] if n else []
            shortest = length
            if seen >= top:
                break
        rest_cut = sum(n for n, _ in self.unfinished.values()) - cut
        if shortest < MIN_PROSE or 2 * cut < seen or cut < MIN_PILE:
            return []
        if rest_cut / max(1, total - seen) > 0.25 * cut / seen:
            return []
        said = (
            f"{cut:,} of the {seen:,} longest answers (from {shortest:,} characters) stop in the "
            "middle, shorter ones do not: a length limit may have cut them"
        )
        return [Remark("", "answers_cut_at_length", said, str(shortest), HINT, line=min(lines))]


def _step(length: int) -> int:
    """Exact up to 10,000, then in steps, so that what is kept stays small."""
    if length <= 10_000:
        return length
    step = int(10 ** (len(str(length)) - 3))
    return length // step * step
