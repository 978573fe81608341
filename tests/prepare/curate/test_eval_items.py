"""Eval items become units with what is their own."""

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from modiste.prepare.curate.eval_items import EvalItems, Known, Side, unit_of
from modiste.prepare.curate.normal import words
from modiste.prepare.curate.stage import Corpus

Rows = Callable[..., Corpus]
Chat = Callable[..., dict[str, Any]]


@settings(max_examples=50)
@given(
    st.lists(st.integers(0, 2**64 - 1), max_size=50),
    st.lists(st.integers(0, 2**64 - 1), max_size=50),
)
def test_known_numbers_are_found_where_they_stand(known: list[int], others: list[int]) -> None:
    among = np.array([*others, *known[::2]], dtype=np.uint64)
    table = Known(np.array(known, dtype=np.uint64))
    places, which = table.find(among)
    assert places.tolist() == [i for i, n in enumerate(among.tolist()) if n in known]
    assert (table.numbers[which] == among[places]).all()


def test_questions_and_long_answers_are_units_and_equal_ones_are_one(
    corpus: Rows, chat: Chat
) -> None:
    rows = [chat("Who is it?", "a b c d"), chat("who IS it", "no"), chat("Why?", "A, b; c. D!")]
    items = EvalItems(corpus(rows), n=3, min_answer=3)
    assert [(unit.side, unit.items) for unit in items.units] == [
        (Side.QUESTION, [0, 1]),
        (Side.ANSWER, [0, 2]),
        (Side.QUESTION, [2]),
    ]


def test_items_without_words_are_counted(corpus: Rows, chat: Chat) -> None:
    assert EvalItems(corpus([chat("?!", "…"), chat("a", "b")]), n=3, min_answer=3).unlooked == 1


def test_runs_of_several_units_are_templates(corpus: Rows, chat: Chat) -> None:
    rows = [chat(f"please answer this question now about {topic}") for topic in "abcd"]
    items = EvalItems(corpus(rows), n=4, min_answer=16)
    assert items.template.sum() == 3
    own = items.gram_of[items.starts[0] : items.starts[1]]
    assert (~items.template[own]).sum() == 1
    assert items.places(own[~items.template[own]]).tolist() == [3]


def test_segments_are_sentences_and_lines_and_short_ones_join() -> None:
    unit = unit_of(Side.QUESTION, "Hi. This is one sentence here.\nAnd a line of text\nEnd")
    assert unit.segments == ((0, 6), (6, 12))
    assert unit.hashes.size == 12


def test_numbers_and_names_are_told_from_other_words() -> None:
    unit = unit_of(Side.QUESTION, "How many apples did Anna buy in Rome for $4.50 on day 2a?")
    assert unit.numbers.size == len(words("4 50 2a").split())
    assert unit.names.size == 2
    title = unit_of(Side.QUESTION, "Who Wrote The Old Man And The Sea")
    assert title.names.size == 0
