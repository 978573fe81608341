"""Chats of any amount for benchmarks: real sentences where there are some, shuffled.

    write(path, n_bytes, seed=0)        four-message chats, about 1 kB each

Texts come from the development data (`MODISTE_DATA`, or ../shared/data beside the repository):
prose, official pages, medical answers, arithmetic, conversations in many languages with code.
Paragraphs are used once each as long as they last (about 40 MB), then in another order. Without
that data words are drawn from the vocabulary that ships with mistral-common, the frequent ones
often; the figures are then not comparable, and the benchmark says so.
"""

from __future__ import annotations

import gzip
import json
import os
import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path

SOURCES = (
    "j_corpus_gov/*.gz",
    "j_corpus_speeches/*.gz",
    "j_corpus_books/*.gz",
    "f_gov_news/*.gz",
    "e_medquad/*.gz",
    "g_oasst1/*.gz",
    "g_gsm8k/*.gz",
)
LETTERS = (150, 370, 110, 390)
"""Mean length of the four messages."""
COPIES = 20
"""One row in so many is an earlier one with some words changed, for near-duplicates to be found."""


def data_folder() -> Path | None:
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("MODISTE_DATA", beside))
    return folder if folder.is_dir() else None


def write(path: Path, n_bytes: int, *, seed: int = 0, copies: bool = False) -> int:
    """Fill a file up to a size; how many rows that took."""
    chosen = random.Random(seed)  # noqa: S311
    n_rows = written = 0
    recent: list[list[str]] = []
    with path.open("wb") as stream:
        for texts in _conversations(chosen):
            if copies and recent and chosen.randrange(COPIES) == 0:
                texts = [_changed(text, chosen) for text in chosen.choice(recent)]
            elif copies and chosen.randrange(COPIES) == 0:
                recent = [*recent[-999:], texts]
            messages = [*map(_message, range(4), texts)]
            row = json.dumps({"messages": messages}, ensure_ascii=False).encode()
            stream.write(row + b"\n")
            n_rows += 1
            written += len(row) + 1
            if written >= n_bytes:
                return n_rows
    raise AssertionError("conversations never end")


@cache
def sentences() -> tuple[str, ...]:
    """Pieces of text to put chats of a wanted length together from."""
    return tuple(" ".join(text.split()) for text in _read()[:20_000])


def _message(at: int, text: str) -> dict[str, str]:
    return {"role": ("user", "assistant")[at % 2], "content": text}


def _conversations(chosen: random.Random) -> Iterator[list[str]]:
    paragraphs = _paragraphs(chosen)
    rest = ""
    while True:
        texts: list[str] = []
        for mean in LETTERS:
            text = ""
            while not text:
                wanted = max(12, int(chosen.lognormvariate(0, 0.6) * mean * 0.84))
                while len(rest) < wanted:
                    rest = f"{rest}\n\n{next(paragraphs)}" if rest else next(paragraphs)
                end = max(rest.rfind(". ", 0, wanted) + 1, rest.rfind("\n", 0, wanted))
                end = end if end > wanted // 2 else wanted
                text, rest = rest[:end].strip(), rest[end:].lstrip()
            texts.append(text)
        yield texts


def _paragraphs(chosen: random.Random) -> Iterator[str]:
    known = list(_read())
    while True:
        chosen.shuffle(known)
        yield from known


def _changed(text: str, chosen: random.Random) -> str:
    """About one word in thirty left out."""
    return " ".join(word for word in text.split(" ") if chosen.randrange(30))


@cache
def _read() -> tuple[str, ...]:
    folder = data_folder()
    if folder is None:
        return tuple(_drawn_sentences())
    found: list[str] = []
    for pattern in SOURCES:
        for file in sorted(folder.glob(pattern)):
            with gzip.open(file, "rt", encoding="utf-8") as stream:
                for line in stream:
                    value = json.loads(line)
                    texts = [value.get("text"), value.get("answer")]
                    texts += [m.get("content") for m in value.get("messages", [])]
                    parts = (part for text in texts if text for part in text.split("\n\n"))
                    found += [part for part in parts if part.strip()]
    return tuple(found)


def _drawn_sentences() -> Iterator[str]:
    """Words of a tokenizer's vocabulary by Zipf's law."""
    import mistral_common

    file = Path(mistral_common.__file__).parent / "data" / "tekken_240718.json"
    pieces = (token["token_str"] for token in json.loads(file.read_text())["vocab"])
    words = [piece.strip() for piece in pieces if piece and piece.startswith(" ")]
    words = [word for word in words if word.isalpha()]
    chosen = random.Random(0)  # noqa: S311
    weights = [1 / rank for rank in range(10, len(words) + 10)]
    for _ in range(50_000):
        drawn = chosen.choices(words, weights, k=chosen.randrange(5, 30))
        yield " ".join(drawn).capitalize() + "."
