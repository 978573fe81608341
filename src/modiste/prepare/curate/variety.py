"""How various rows are, and where they are thin: a report, no row is changed.

Tables of length, structure, tone, reading, language and topic, and of a policy where one is given;
distinct-1/2/3, the Vendi score and the closest pairs. Above `sample` rows it is of that many, drawn
by chance; the policy is of all. Every share comes with its rows, and what is thin is named.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from pydantic import BaseModel, Field

from modiste.errors import InvalidInput
from modiste.prepare.curate import traits
from modiste.prepare.curate.clusters import clusters, how_many, names_topics
from modiste.prepare.curate.coverage import Coverage, read_policy
from modiste.prepare.curate.embedders import Embed, Embeddings, embedder
from modiste.prepare.curate.groups import hash64
from modiste.prepare.curate.inputs import Opened, corpora
from modiste.prepare.curate.normal import normal, said
from modiste.prepare.curate.stage import Corpus, Outcome, Settings, chain
from modiste.prepare.curate.thin import ALIKE, divergence, one_sided, thin_spots
from modiste.prepare.curate.vectors import (
    Floats,
    condensed,
    covered,
    distinct,
    lexical,
    likeness,
    unit,
)
from modiste.prepare.inspect.language import language_of
from modiste.types import Role

COMPARED = 2_000
"""Rows compared each with each."""
OPENING_WORDS = 3
TOO_COMMON = 0.5
"""Words in more than this share of the prompts tell no topic."""


class Variety(Settings):
    sample: int = Field(default=20_000, ge=100, le=200_000)
    """Rows looked at."""
    clusters: int | None = Field(default=None, ge=1, le=500)
    """Topics to tell apart; None chooses by the number of rows."""
    thin: float = Field(default=0.01, gt=0, lt=0.5)
    """Share of the rows below which a value is named thin."""
    policy: str | None = None
    """YAML file of categories that rows should cover."""
    reference: str | None = None
    """Rows as they come in production: what do ours leave out?"""
    embeddings: Embeddings | None = None
    """Vectors of a model instead of words."""
    seed: int = 0


class VarietyStage:
    name: ClassVar[str] = "variety"
    version: ClassVar[int] = 1
    settings: ClassVar[type[BaseModel]] = Variety
    reads: ClassVar[tuple[str, ...]] = ("policy", "reference")

    def __init__(self, local: Callable[[str], Embed] | None = None) -> None:
        """`local` makes an embedder of an installed base."""
        self._local = local

    def run(self, inputs: Sequence[Corpus], settings: Variety) -> Outcome:
        embed = embedder(settings.embeddings, self._local) if settings.embeddings else None
        return Outcome({}, variety(inputs, settings, embed=embed))


STAGE = VarietyStage()


class Seen(NamedTuple):
    """What is kept of a row that was drawn."""

    file: str
    line: int
    asked: str
    answered: str
    system: str
    shapes: tuple[str, ...]


def variety(
    inputs: Sequence[Corpus], settings: Variety, *, embed: Embed | None = None
) -> dict[str, Any]:
    """Raises InvalidInput where there is no row, or the policy is wrong."""
    coverage = Coverage(read_policy(_policy_path(settings.policy))) if settings.policy else None
    drawn, n_rows = _draw(inputs, settings, coverage)
    if not drawn:
        raise InvalidInput("there is no row to look at")
    tables = _tables(drawn)
    asked = [row.asked for row in drawn]
    words = lexical(asked, keep=names_topics, too_common=TOO_COMMON)
    vectors = unit(embed(asked)) if embed else condensed(words, seed=settings.seed)
    topics = _topics(drawn, vectors, words, settings)
    alike = _alike(drawn, asked, embed, vectors)
    report: dict[str, Any] = {
        "rows": n_rows,
        "looked_at": len(drawn),
        "vectors": "embeddings" if embed else "words",
        "tables": tables,
        "topics": topics,
        "likeness": alike,
        "distinct": {
            side: {str(n): _rounded(distinct(texts, n)) for n in (1, 2, 3)}
            for side, texts in (("prompts", asked), ("answers", [row.answered for row in drawn]))
        },
        "openings": _openings(drawn),
        "policy": coverage.to_json() if coverage else None,
        "reference": _against(drawn, tables, settings) if settings.reference else None,
    }
    report["thin"] = thin_spots(report, settings.thin)
    report["warnings"] = one_sided(report)
    return report


def _policy_path(place: str) -> Path:
    return place.corpora[0].path if isinstance(place, Opened) else Path(place).expanduser()


def _draw(
    inputs: Sequence[Corpus], settings: Variety, coverage: Coverage | None
) -> tuple[list[Seen], int]:
    """Up to `sample` rows, those whose content comes first by chance, in their order."""
    heap: list[tuple[int, int, Seen]] = []
    n_rows = 0
    for n_rows, record in enumerate(chain(inputs), start=1):
        if coverage:
            coverage.add(record)
        place = -hash64(f"{settings.seed} {record.id} {n_rows}")
        if len(heap) == settings.sample and place <= heap[0][0]:
            continue
        sides = said(record.example)
        system = [m.content or "" for m in record.example.messages if m.role is Role.SYSTEM]
        shapes = tuple(traits.chat_shapes(record.example))
        seen = Seen(record.file, record.line, *sides, normal("\n".join(system)), shapes)
        (heapq.heappushpop if len(heap) == settings.sample else heapq.heappush)(
            heap, (place, n_rows, seen)
        )
    return [seen for _, _, seen in sorted(heap, key=lambda item: item[1])], n_rows


def _tables(drawn: Sequence[Seen]) -> dict[str, dict[str, int]]:
    """Rows by value, for each dimension. Values of a fixed list are there with 0 too."""
    asked = [row.asked for row in drawn]
    answered = [row.answered for row in drawn]
    return {
        "prompt words": _lengths(asked),
        "answer words": _lengths(answered),
        "prompt structure": _counted(map(traits.prompt_shapes, asked), traits.PROMPT_SHAPES),
        "answer structure": _counted(map(traits.answer_shapes, answered), traits.ANSWER_SHAPES),
        "chat structure": _counted((row.shapes for row in drawn), traits.CHAT_SHAPES),
        "tone": _counted(map(traits.tones, asked), traits.TONES),
        "reading": _counted(
            ([traits.reading(text) or "no words"] for text in asked), traits.READING
        ),
        "prompt language": _sorted(language_of(text) or "not told" for text in asked),
        "answer language": _sorted(_language(text) for text in answered if text),
    }


def _language(answer: str) -> str:
    """Words inside code are no sign of a language."""
    if "code" in traits.answer_shapes(answer):
        return "code"
    return language_of(answer) or "not told"


def _lengths(texts: Iterable[str]) -> dict[str, int]:
    lengths = [len(text.split()) for text in texts]
    counts = Counter(map(traits.length_bin, lengths))
    steps = range(min(lengths, default=0).bit_length(), max(lengths, default=0).bit_length() + 1)
    bins = [traits.length_bin(1 << at >> 1) for at in steps]
    return {bin: counts[bin] for bin in bins}


def _counted(found: Iterable[Sequence[str]], values: Sequence[str]) -> dict[str, int]:
    counts = Counter(value for each in found for value in each)
    return {value: counts[value] for value in dict.fromkeys([*values, *counts])}


def _sorted(found: Iterable[str]) -> dict[str, int]:
    return dict(Counter(found).most_common())


def _topics(
    drawn: Sequence[Seen], vectors: Floats, words: Any, settings: Variety
) -> dict[str, Any]:
    count = settings.clusters or how_many(len(drawn))
    found = clusters(vectors, words, count=count, seed=settings.seed)
    shares = np.asarray([len(cluster.rows) for cluster in found]) / len(drawn)
    return {
        "clusters": [
            {
                "name": ", ".join(cluster.terms) or "no telling words",
                "rows": len(cluster.rows),
                "share": round(float(share), 4),
                "examples": [_place(drawn[at]) for at in cluster.rows[:3].tolist()],
            }
            for cluster, share in zip(found, shares, strict=True)
        ],
        "largest_share": round(float(shares.max()), 4),
        "evenness": _rounded(_evenness(shares)),
    }


def _evenness(shares: np.ndarray[Any, Any]) -> float:
    """Entropy over the highest there could be: 1 where all topics are equally large."""
    if len(shares) < 2:
        return 0.0
    return float(-(shares * np.log(shares)).sum() / np.log(len(shares)))


def _alike(
    drawn: Sequence[Seen], asked: Sequence[str], embed: Embed | None, vectors: Floats
) -> dict[str, Any]:
    some = np.linspace(0, len(drawn) - 1, min(COMPARED, len(drawn))).round().astype(np.int64)
    compared = (
        vectors[some] if embed else lexical([asked[at] for at in some]).dense(range(len(some)))
    )
    found = likeness(compared)
    return {
        "compared": found.n_texts,
        "vendi": _rounded(found.vendi),
        "vendi_share": _rounded(found.vendi / found.n_texts),
        "mean_cosine": _rounded(found.mean_cosine),
        "nearest_cosine": _rounded(found.nearest_cosine),
        "nearest": [
            {"rows": [_place(drawn[some[a]]), _place(drawn[some[b]])], "cosine": cosine}
            for a, b, cosine in found.nearest
            if cosine >= ALIKE
        ],
    }


def _openings(drawn: Sequence[Seen]) -> list[dict[str, Any]]:
    """How prompts begin, the commonest ways first."""
    counts = Counter(" ".join(normal(row.asked[:200]).split()[:OPENING_WORDS]) for row in drawn)
    return [
        {"words": words, "rows": n, "share": round(n / len(drawn), 4)}
        for words, n in counts.most_common(10)
        if n > 1
    ]


def _against(
    drawn: Sequence[Seen], tables: dict[str, dict[str, int]], settings: Variety
) -> dict[str, Any]:
    """What the reference has and the rows have not."""
    theirs, n_rows = _draw(corpora([settings.reference or ""]), settings, None)
    if not theirs:
        raise InvalidInput(f"{settings.reference} holds no row to compare with")
    few = [
        [
            each[at].asked
            for at in np.linspace(0, len(each) - 1, min(COMPARED, len(each))).astype(int)
        ]
        for each in (drawn, theirs)
    ]
    both = lexical([*few[0], *few[1]])
    vectors = both.dense(range(both.n_texts))
    their_tables = _tables(theirs)
    return {
        "rows": n_rows,
        "looked_at": len(theirs),
        "covered": _rounded(covered(vectors[: len(few[0])], vectors[len(few[0]) :])),
        "divergence": {
            name: _rounded(divergence(table, their_tables[name])) for name, table in tables.items()
        },
        "missing": [
            {"dimension": name, "value": value, "rows": tables[name].get(value, 0), "theirs": n}
            for name, table in their_tables.items()
            for value, n in table.items()
            if n / len(theirs) >= 0.02
            and tables[name].get(value, 0) / len(drawn) < n / len(theirs) / 4
        ],
    }


def _place(row: Seen) -> str:
    return f"{row.file} line {row.line}"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 4)
