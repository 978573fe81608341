"""Rows of the moderation classifier: which it learns from, and which it is asked about.

Reads public data below one folder and splits it by a hash of the text (of tweets, without names and
links, so that a retweet stays with its tweet). A missing file is an error. What a source says
nothing about is unknown there when figures are made; for the training, which wants a word on every
label, unknown counts as no, and the card says so.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from modiste.bases.moderation.labels import READ, VIOLATES
from modiste.bases.moderation.made import made

LABELS = tuple(VIOLATES)
TARGET = "violates"
TWEETS = {"hate_speech": ("hate_and_discrimination",), "offensive_language": ("offensive",)}
FOR_TWEETS = frozenset({"hate_and_discrimination", "offensive"})
"""Labels on which tweets say something."""
MOST_TWEETS = 800
"""Learned of each of the three kinds."""
COUNTED = {"HH-RLHF": 2}
"""Questions of people are few beside the made ones."""
VALIDATION = 6
"""As many times fewer rows of a kind for validation as are learned at most."""
PIECE = 400
"""Characters."""
NAMES_AND_LINKS = re.compile(r"\bRT\b|@\w+:?|https?://\S+|&#?\w+;")
AREAS = {
    "Suicide, Self-Harm, and Eating Disorders": "selfharm",
    "Physical harm and Violence": "violence_and_threats",
    "Illegal and Highly Regulated items": "criminal",
    "Scams and fraud": "criminal",
    "Child safety": "sexual",
}


class Row(NamedTuple):
    text: str
    labels: tuple[str, ...]
    origin: str
    known: frozenset[str] = frozenset(LABELS)
    """Labels on which its source says something."""


class Split(NamedTuple):
    train: list[Row]
    validation: list[Row]
    asked: list[Row]


def split(data: Path) -> Split:
    """All rows, each in one part.

    Raises:
        FileNotFoundError: a file is missing below `data`.
    """
    draw = random.Random(0)  # noqa: S311 - the recipe must repeat itself
    found = Split([], [], [])
    for rows, most in (
        (questions(data), None),
        (tweets(data), MOST_TWEETS),
        (requests(data / "b_snips" / "train.jsonl.gz", "SNIPS", "text"), 600),
        (
            requests(data / "g_self_instruct" / "seed_tasks.jsonl", "Self-Instruct", "instruction"),
            None,
        ),
        (requests(data / "f_gov_news" / "articles.jsonl.gz", "news", "summary"), 200),
    ):
        parts: dict[str, dict[tuple[str, ...], list[Row]]] = {}
        for row in rows:
            parts.setdefault(_part(row), {}).setdefault(row.labels, []).append(row)
        for kind in parts.get("train", {}).values():
            times = COUNTED.get(kind[0].origin, 1)
            found.train.extend((kind if most is None else kind[:most]) * times)
        for kind in parts.get("validation", {}).values():
            found.validation.extend(kind if most is None else kind[: most // VALIDATION])
        if next(iter(parts["asked"].values()))[0].origin in ("HH-RLHF", "tweets", "news"):
            found.asked.extend(chain.from_iterable(parts["asked"].values()))
    templates = [Row(each.text, each.labels, "made") for each in made(held_out=False, per_matter=8)]
    draw.shuffle(templates)
    n_validation = len(templates) // 12
    found.validation.extend(templates[:n_validation])
    found.train.extend(templates[n_validation:])
    found.asked.extend(
        Row(each.text, each.labels, "made") for each in made(held_out=True, per_matter=2)
    )
    found.asked.extend(unsafe(data))
    found.asked.extend(requests(data / "b_clinc150" / "test.jsonl", "CLINC150", "text"))
    found.asked.extend(
        requests(
            data / "g_self_instruct" / "user_oriented_252.jsonl", "Self-Instruct", "instruction"
        )
    )
    draw.shuffle(found.train)
    return found


def questions(data: Path) -> Iterator[Row]:
    """First questions of HH-RLHF, as `labels` has them, each text once."""
    labels: dict[int, list[str]] = {}
    for label, numbers in VIOLATES.items():
        for number in numbers.split():
            labels.setdefault(int(number), []).append(label)
    seen = set()
    for at, row in enumerate(_lines(data / "h_hh_rlhf" / "harmless_base_test.jsonl.gz")):
        text = row["chosen"].split("\n\nHuman: ", 1)[1].split("\n\nAssistant:")[0].strip()
        if any(at in read for read in READ) and text not in seen:
            seen.add(text)
            yield Row(text, tuple(labels.get(at, ())), "HH-RLHF")


def tweets(data: Path) -> Iterator[Row]:
    for row in _lines(data / "h_hate_speech" / "tweets.jsonl.gz"):
        yield Row(row["text"], TWEETS.get(row["label"], ()), "tweets", FOR_TWEETS)


def requests(path: Path, origin: str, field: str) -> Iterator[Row]:
    """Harmless ones, as much of each as a detector hands the classifier at once."""
    for row in _lines(path):
        if text := row[field].strip()[:PIECE]:
            yield Row(text, (), origin)


def unsafe(data: Path) -> Iterator[Row]:
    """SimpleSafetyTests: asked only, and only the label its area says most about is known."""
    for row in _lines(data / "h_simple_safety" / "prompts.jsonl"):
        label = AREAS[row["harm_area"]]
        yield Row(row["prompts_final"], (label,), row["harm_area"], frozenset({label}))


def as_lines(rows: Iterable[Row]) -> str:
    """Training rows as `modiste tune` reads them."""
    told = ({"text": row.text, "labels": {TARGET: list(row.labels)}} for row in rows)
    return "".join(json.dumps(each) + "\n" for each in told)


def _part(row: Row) -> str:
    """Two fifths of the questions and a fifth of all else are asked, a tenth is for validation."""
    plain = " ".join(NAMES_AND_LINKS.sub(" ", row.text).lower().split())
    at = hashlib.sha256(plain.encode()).digest()[0] / 256
    asked = 0.4 if row.origin == "HH-RLHF" else 0.2
    if at < asked:
        return "asked"
    return "validation" if at < asked + 0.1 else "train"


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as stream:
        yield from map(json.loads, stream)
