"""The text the tiny base is pre-trained on: public-domain and CC0 corpora, read as documents.

Reads `j_corpus_*` below one data folder (`--data`, `MODISTE_DATA`, or `../shared/data`).
Refuses to guess: a missing corpus is an error that names the folder, never a smaller corpus.
Invariant: books marked `split=valid` never reach training; they are what bits per byte is
measured on.
"""

# ruff: noqa: S311 - the draws are seeded on purpose: the recipe must repeat itself

import gzip
import json
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CORPORA = (
    "j_corpus_books",
    "j_corpus_gov",
    "j_corpus_speeches",
    "j_corpus_common_voice",
    "j_corpus_factbook",
)
SENTENCES_PER_DOCUMENT = 12  # Common Voice has single sentences, too short to learn from alone


@dataclass(frozen=True)
class Corpus:
    """Documents to train on and documents held out."""

    train: list[str]
    valid: list[str]


def find_data(given: str | None = None) -> Path | None:
    """The data folder: as given, else MODISTE_DATA, else ../shared/data; None if absent."""
    named = given or os.environ.get("MODISTE_DATA")
    folder = Path(named) if named else Path("../shared/data")
    return folder if (folder / CORPORA[0]).is_dir() else None


def read_corpus(data: Path, seed: int) -> Corpus:
    train: list[str] = []
    valid: list[str] = []
    for name in CORPORA:
        rows = list(_rows(data / name))
        if name == "j_corpus_common_voice":
            train.extend(_group_sentences([row["text"] for row in rows], seed))
            continue
        for row in rows:
            title = row.get("title", "")
            text = f"{title}\n\n{row['text']}" if title else row["text"]
            (valid if row.get("split") == "valid" else train).append(text.strip())
    random.Random(seed).shuffle(train)
    return Corpus(train=train, valid=valid)


def read_sentences(data: Path) -> list[str]:
    """Single plain sentences of at most sixteen words, for the chats to play with."""
    texts = [row["text"].strip() for row in _rows(data / "j_corpus_common_voice")]
    return [text for text in texts if 3 <= len(text.split()) <= 16 and text.isascii()]


def _rows(folder: Path) -> Iterator[dict[str, str]]:
    files = sorted(folder.glob("*.jsonl.gz"))
    if not files:
        raise FileNotFoundError(f"{folder} holds no *.jsonl.gz; pass --data or set MODISTE_DATA")
    for path in files:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line)


def _group_sentences(sentences: list[str], seed: int) -> list[str]:
    random.Random(seed).shuffle(sentences)
    step = SENTENCES_PER_DOCUMENT
    return ["\n".join(sentences[at : at + step]) for at in range(0, len(sentences), step)]
