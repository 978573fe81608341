"""The classifier that ships: asked by its name, from a copy of its files, long texts in pieces."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from modiste.actions import classifications, shipped_classifier
from modiste.actions.classifications import ClassifyAsk
from modiste.actions.detecting import readings
from modiste.actions.inference import Renderers, Serving
from modiste.actions.moderation import shipped
from modiste.errors import Forbidden
from modiste.moderate.guard import Item
from modiste.moderate.verdict import Reading
from modiste.serve.sequence import Embed, Pooling
from modiste.store.database import Database
from modiste.types import Actor, Scope

ACTOR = Actor("key_1", "0" * 8, frozenset({Scope.INFER}))


class Engine:
    """Says of a text that it violates the first label as much as it has tokens."""

    def __init__(self) -> None:
        self.asked: list[Embed] = []

    async def embed(self, request: Embed) -> tuple[float, ...]:
        self.asked.append(request)
        return (len(request.ids) / 1000, *(0.25,) * 7)


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def serving(database: Database, engine: Engine) -> Serving:
    return Serving(database, cast(Any, engine), Renderers())


def test_it_answers_to_its_name_from_a_copy_of_its_files(serving: Serving, engine: Engine) -> None:
    ask = ClassifyAsk(shipped_classifier.NAME, ("a", "b c"))
    told = asyncio.run(classifications.create(serving, ACTOR, ask))
    assert [each["violates"]["selfharm"] for each in told.by_name()] == [0.25, 0.25]
    first = engine.asked[0]
    assert (first.base, first.pooling) == (str(shipped_classifier.BASE), Pooling.HEADS)
    folder = Path(str(first.adapter))
    assert folder.is_relative_to(serving.database.settings.cache_dir)
    assert sorted(each.name for each in folder.iterdir()) == sorted(shipped_classifier.FILES)
    assert shipped_classifier.weights(serving.database.settings.cache_dir).adapter == folder


def test_a_key_that_may_not_infer_is_refused(serving: Serving) -> None:
    nobody = Actor("key_2", "0" * 8, frozenset())
    with pytest.raises(Forbidden):
        asyncio.run(
            classifications.create(serving, nobody, ClassifyAsk(shipped_classifier.NAME, ("a",)))
        )


def test_the_worst_piece_of_a_long_text_counts(serving: Serving, engine: Engine) -> None:
    policy = shipped().policy
    detector = next(each for each in policy.detectors if each.name == "classifier")
    long = "word " * 300
    items = [Item("Hello"), Item(long), Item("Bye")]
    found = asyncio.run(
        readings(serving, ACTOR, detector, policy, items, place=None, ask=cast(Any, None))
    )
    scores = [each.scores["hate_and_discrimination"] for each in found if isinstance(each, Reading)]
    lengths = [len(each.ids) / 1000 for each in engine.asked]
    assert len(lengths) > len(items)
    assert scores == [lengths[0], max(lengths[1:-1]), lengths[-1]]


def test_pieces_overlap_and_hold_every_phrase_whole() -> None:
    assert list(shipped_classifier.pieces("short")) == ["short"]
    assert list(shipped_classifier.pieces("")) == [""]
    text = " ".join(f"word{at}" for at in range(500))
    pieces = list(shipped_classifier.pieces(text))
    assert max(map(len, pieces)) <= shipped_classifier.PIECE
    for at in range(490):
        phrase = " ".join(f"word{each}" for each in range(at, at + 8))
        assert any(phrase in piece for piece in pieces), phrase
    unbroken = "x" * 2_000
    assert "".join(
        piece[: shipped_classifier.STEP] for piece in shipped_classifier.pieces(unbroken)
    ).startswith("x" * 1_800)
