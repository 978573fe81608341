"""Which language a text is in, and whether a file's answers are in the language of its questions.

A text is told by its script, or by the little words that every sentence of a language needs; when
they are too few or point two ways the answer is None, and no remark rests on it. That is quick,
needs no model, and errs on the side of silence: names, code, SQL and labels have no language.

A question in one language and an answer in another is what a translation is made of, so it is the
file that is judged: pairs of languages that many rows have are its task, rare ones are remarked.
"""

from __future__ import annotations

import re
import sys
from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from math import lcm
from typing import Self

from modiste.prepare.inspect.function_words import ENGLISH, ENGLISH_ONLY, LETTERS, NAMES, WORDS
from modiste.prepare.inspect.remark import Passage, Remark
from modiste.types import Example, Role

SAMPLE = 160
"""Characters looked at first; where they do not tell, three times as many are."""
RARE = 0.05
"""Of the file: languages and pairs of languages above it are taken to be meant."""
LINES_SHOWN = 5


def language_of(text: str) -> str | None:
    """Two-letter code, or None where the text does not show one."""
    return _told(text[:SAMPLE]) or (_told(text[: 3 * SAMPLE]) if len(text) > SAMPLE else None)


_CODE = re.compile(r"```.*?(?:```|\Z)|https?://\S+", re.DOTALL)
_KNOWN = frozenset(WORDS)
_CUT = bytes(
    ord(" ") if b in b",.?\x1c\x1d\x1e\x1f" else b + 32 if 65 <= b <= 90 else b for b in range(256)
)
"""Small letters, and what words are cut at as spaces; the last four are spaces of `str` only."""


def _encoded(words: Iterable[str]) -> frozenset[bytes]:
    return frozenset([word.encode() for word in words])


_ENGLISH_ONLY = _encoded(ENGLISH_ONLY)
_OTHERS = _encoded(_KNOWN - ENGLISH_ONLY)
_FOREIGN = _encoded(_KNOWN - ENGLISH)
_LANGUAGES = tuple(sorted({language for languages in WORDS.values() for language in languages}))
_WHOLE = lcm(*map(len, (*WORDS.values(), *LETTERS.values())))
"""One vote. Words that several languages share count for each in part, and no part is rounded."""
_BYTES = 4 * len(_LANGUAGES)


def _vote(languages: Sequence[str]) -> int:
    """The votes of one word for all languages in one number, four bytes each: sums are quick."""
    parts = [0] * len(_LANGUAGES)
    for language in languages:
        parts[_LANGUAGES.index(language)] = _WHOLE // len(languages)
    return int.from_bytes(array("I", parts).tobytes(), sys.byteorder)


_VOTES = {word.encode(): _vote(languages) for word, languages in WORDS.items()}
_FOR_ENGLISH = _vote(["en"])
_LETTER_VOTES = [(letter, _vote(languages)) for letter, languages in LETTERS.items()]


def _told(sample: str) -> str | None:
    if "```" in sample or "://" in sample:
        sample = _CODE.sub(" ", sample)
    if sample.isascii():
        return _by_words(sample.encode().translate(_CUT).split())
    # Most letters of every language with Latin letters are in Latin-1.
    if 2 * len(sample.encode("latin-1", "ignore")) < 1.2 * len(sample):
        return _by_script(sample)
    lowered = sample.lower()
    words = lowered.replace(",", " ").replace(".", " ").replace("?", " ").split()
    return _by_words(_encoded(_KNOWN.intersection(words)), lowered)


def _by_words(words: Collection[bytes], lowered: str = "") -> str | None:
    """
    Args:
        lowered: the text itself, where it has letters that tell something.
    """
    n_english = len(_ENGLISH_ONLY.intersection(words))
    others = _OTHERS.intersection(words)
    if n_english >= 4 and len(others & _FOREIGN) <= 1:
        return "en"
    if n_english + len(others) < 3:
        return None
    votes = sum(map(_VOTES.__getitem__, others), n_english * _FOR_ENGLISH)
    for letter, vote in _LETTER_VOTES if lowered else ():
        if letter in lowered:
            votes += vote
    shares = memoryview(votes.to_bytes(_BYTES, sys.byteorder)).cast("I").tolist()
    best = max(shares)
    at = shares.index(best)
    shares[at] = 0
    sure = 2 * best >= 5 * _WHOLE and 2 * best >= 3 * max(shares) + _WHOLE
    return _LANGUAGES[at] if sure else None


_SCRIPTS: Sequence[tuple[str, int, int]] = (
    ("latin", 0x41, 0x24F), ("el", 0x370, 0x3FF), ("cyrillic", 0x400, 0x52F), ("hy", 0x530, 0x58F),
    ("he", 0x590, 0x5FF), ("arabic", 0x600, 0x77F), ("hi", 0x900, 0x97F), ("bn", 0x980, 0x9FF),
    ("pa", 0xA00, 0xA7F), ("gu", 0xA80, 0xAFF), ("ta", 0xB80, 0xBFF), ("te", 0xC00, 0xC7F),
    ("kn", 0xC80, 0xCFF), ("ml", 0xD00, 0xD7F), ("th", 0xE00, 0xE7F), ("ka", 0x10A0, 0x10FF),
    ("latin", 0x1E00, 0x1EFF), ("kana", 0x3040, 0x30FF), ("han", 0x3400, 0x9FFF),
    ("ko", 0xAC00, 0xD7AF),
)  # fmt: skip


def _by_script(sample: str) -> str | None:
    counts: Counter[str] = Counter()
    for letter in sample[:: max(1, len(sample) // 64)]:
        if letter.isalpha():
            point = ord(letter)
            counts[next((s for s, low, high in _SCRIPTS if low <= point <= high), "?")] += 1
    if not counts:
        return None
    script, n = counts.most_common(1)[0]
    if counts["kana"] * 10 > counts.total():
        return "ja"
    if n * 2 <= counts.total() or script in ("?", "latin"):
        return None
    if script == "cyrillic":
        return _cyrillic(sample)
    if script == "arabic":
        return _arabic(sample)
    return "zh" if script == "han" else script


_RUSSIAN = re.compile(r"[ыэё]|\b(?:и|в|не|что|как|это|для|чем|или|мне)\b")


def _cyrillic(sample: str) -> str | None:
    for letters, language in (("іїєґ", "uk"), ("јљњћђ", "sr")):
        if any(letter in sample for letter in letters):
            return language
    if "ъ" in sample and not any(letter in sample for letter in "ыэё"):
        return "bg"
    return "ru" if _RUSSIAN.search(sample.lower()) else None


def _arabic(sample: str) -> str:
    if any(letter in sample for letter in "ٹڈڑے"):
        return "ur"
    return "fa" if any(letter in sample for letter in "پچژگ") else "ar"


class Languages:
    """The languages of a file's questions and answers."""

    def __init__(self) -> None:
        self.pairs: dict[tuple[str, str], list[int]] = {}
        """Question's and answer's language to the number of rows and the first lines."""

    def add(self, example: Example, passages: Sequence[Passage]) -> None:
        said, question, answer = None, None, None
        for passage in passages:
            _, _, role, learned = passage
            if role is Role.USER:
                said = passage
            elif learned and role is Role.ASSISTANT:
                question, answer = said, passage
        if answer is None:
            text = passages[0].text if passages and passages[0].role is None else ""
            told = language_of(text) if len(text) >= 20 else None
            self._count(told, told, example.line)
            return
        if question is None or len(question.text) < 20 or len(answer.text) < 20:
            return
        answered = language_of(answer.text)
        asked = language_of(question.text) if answered else None
        if asked is None:
            return
        if asked != answered and any(names_a_language(p.text) for p in passages if not p.learned):
            return
        self._count(asked, answered, example.line)

    def _count(self, asked: str | None, answered: str | None, line: int) -> None:
        if asked is None or answered is None:
            return
        entry = self.pairs.setdefault((asked, answered), [0])
        entry[0] += 1
        if len(entry) <= LINES_SHOWN:
            entry.append(line)

    def merge(self, later: Self, lines_before: int) -> None:
        for pair, (n, *lines) in later.pairs.items():
            entry = self.pairs.setdefault(pair, [0])
            entry[0] += n
            room = LINES_SHOWN + 1 - len(entry)
            entry += [line + lines_before for line in lines[:room]]

    def shares(self) -> dict[str, float]:
        """Language of the answers to its share of the rows whose language is known."""
        counts: Counter[str] = Counter()
        for (_, answered), (n, *_) in self.pairs.items():
            counts[answered] += n
        return {language: n / counts.total() for language, n in counts.most_common()}

    def remarks(self) -> Iterator[Remark]:
        known = sum(n for n, *_ in self.pairs.values())
        for (asked, answered), (n, *lines) in sorted(self.pairs.items()):
            if asked == answered or n > RARE * known or known < 10:
                continue
            said = (
                f"{_rows(n)} asked in {NAMES[asked]} and answered in {NAMES[answered]}: "
                f"{_lines(lines, n)}"
            )
            hint = "answer in the language of the question, or ask for the other one by name"
            yield Remark("", "language_mismatch", said, f"{asked}→{answered}", hint, line=lines[0])
        yield from self._minorities(known)

    def _minorities(self, known: int) -> Iterator[Remark]:
        """Rows in one language where nearly all others are in another, or go between two."""
        main, (n, *_) = max(self.pairs.items(), key=lambda item: item[1][0], default=(None, (0,)))
        if main is None or known < 20 or n < 0.8 * known:
            return
        few = [
            (answered, entry)
            for (asked, answered), entry in sorted(self.pairs.items(), key=lambda i: -i[1][0])
            if asked == answered and entry[0] <= RARE * known
        ]
        if few:
            rest = f"not in {NAMES[main[0]]} like the rest"
            if main[0] != main[1]:
                rest = f"in one language, the rest go from {NAMES[main[0]]} to {NAMES[main[1]]}"
            listed = ", ".join(f"{NAMES[language]} {n}" for language, (n, *_) in few)
            lines = sorted(line for _, (_, *some) in few for line in some)
            total = sum(n for _, (n, *_) in few)
            said = f"{_rows(total)} {rest}: {listed} ({_lines(lines[:LINES_SHOWN], total)})"
            hint = "leave them out, or add enough of them to be learned"
            yield Remark("", "language_minority", said, few[0][0], hint, line=lines[0])


def _rows(n: int) -> str:
    return "1 row is" if n == 1 else f"{n:,} rows are"


def _lines(lines: Sequence[int], total: int) -> str:
    more = f" and {total - len(lines):,} more" if total > len(lines) else ""
    return f"line{'s' if total > 1 else ''} {', '.join(map(str, lines))}{more}"


_LANGUAGE_WORDS = frozenset(
    word
    for words in (
        " ".join(NAMES.values()).lower(),
        "translate translation translated latin hinglish spanglish afrikaans swahili malay tagalog",
        "traduis traduire traduction traduisez anglais français allemand espagnol italien",
        "übersetze übersetzen übersetzung englisch englische deutsch deutsche französisch spanisch",
        "traduce traducir traducción traduzca inglés español francés alemán italiano portugués",
        "traduci tradurre traduzione inglese francese tedesco spagnolo portoghese",
        "traduza traduzir tradução inglês francês espanhol alemão vertaal vertaling engels frans",
        "duits spaans översätt engelska tyska переведи переведите перевод английский русский",
    )
    for word in words.split()
)
_TRANSLATE = ("翻译", "翻譯", "翻訳", "번역", "英语", "英語", "中文", "日本語")
_EDGES = str.maketrans(dict.fromkeys("\"'.,:;!?()[]“”«»", " "))


def names_a_language(text: str) -> bool:
    """Whether a question asks for another language than its own, in its first or last words."""
    shown = text if len(text) <= 800 else f"{text[:400]} {text[-400:]}"
    if not _LANGUAGE_WORDS.isdisjoint(shown.lower().translate(_EDGES).split()):
        return True
    return not shown.isascii() and any([word in shown for word in _TRANSLATE])
