"""One row, one eval item: what gives it away and what does not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modiste.prepare.curate.eval_items import Side, Unit, unit_of
from modiste.prepare.curate.normal import words
from modiste.prepare.curate.shingles import U64, word_hashes
from modiste.prepare.curate.verdicts import (
    Kind,
    Verdict,
    Weighted,
    Window,
    by_weight,
    covered,
    in_order,
    window_of,
    worst,
)

COMMON = {"a", "the", "is", "of", "what", "in", "to", "many", "how", "did", "and", "for"}


def hashed(text: str) -> U64:
    return word_hashes([words(text)]).values


def weighted(unit: Unit, text: str) -> Weighted:
    light = [0.2 if word in COMMON else 5.0 for word in words(text).split()]
    return Weighted(unit.hashes, np.array(light))


def says(item: str, row: str) -> bool:
    unit = unit_of(Side.QUESTION, item)
    seen = hashed(row)
    messages = np.array([0, seen.size])
    window = window_of(unit.hashes, seen, messages, np.array([True]))
    return window is not None and by_weight(unit, weighted(unit, item), seen, window) is not None


LONG = (
    "Anna bought 12 green apples in Rome and gave 5 of them to her brother Paul. "
    "How many apples does Anna still have for the cake?"
)


@pytest.mark.parametrize(
    "row",
    [
        LONG.upper(),
        LONG.replace("bought", "purchased").replace("still", "yet"),
        "Solve this for me please: " + LONG.replace("her brother ", ""),
        "Some text before. " * 30 + LONG.replace("green ", "") + " Some text after." * 30,
    ],
)
def test_light_paraphrases_say_the_same(row: str) -> None:
    assert says(LONG, row)


@pytest.mark.parametrize(
    "row",
    [
        LONG.replace("12", "14"),
        LONG.replace("Anna", "Maria").replace("Rome", "Oslo"),
        LONG.split(". ")[0] + ". What colour is the fruit that was left on the table?",
        " ".join(sorted(LONG.split())),
        "Anna has a brother Paul in Rome.",
    ],
)
def test_other_numbers_names_questions_or_orders_do_not(row: str) -> None:
    assert not says(LONG, row)


def test_short_questions_are_paraphrased_by_whole_messages_only() -> None:
    item = "what is the capital of burundi"
    assert says(item, "Question: what's the capital of Burundi, please?")
    assert not says(item, "filler words here " * 20 + item)
    assert not says(item, "what is the old colonial name and capital city lake of burundi")


def test_coverage_counts_words_not_runs_and_leaves_templates_out() -> None:
    """Ten words, runs of 4: run 0 is a template, runs 4 and 5 are hit, 5 is in many rows."""
    hit = np.isin(np.arange(7), [0, 4, 5])
    rare = np.arange(7) != 5
    template = np.arange(7) == 0
    cover = covered(10, 4, hit, rare, template)
    assert cover.every == pytest.approx(5 / 6)
    assert cover.rare == pytest.approx(4 / 6)
    assert cover.longest == 5
    assert np.flatnonzero(cover.words).tolist() == [4, 5, 6, 7, 8]


def test_a_unit_of_few_words_is_one_run() -> None:
    one = np.array([True])
    assert covered(3, 8, one, one, ~one).every == 1.0
    assert covered(3, 8, one, one, one).every == 0.0


@settings(max_examples=100)
@given(
    st.lists(st.sampled_from("abcd"), max_size=12), st.lists(st.sampled_from("abcd"), max_size=12)
)
def test_words_in_order_are_a_common_subsequence(one: list[str], other: list[str]) -> None:
    unit, row = hashed(" ".join(one)), hashed(" ".join(other))
    matched = unit[in_order(unit, row)].tolist()
    rest = iter(row.tolist())
    assert all(word in rest for word in matched)
    assert not one or one != other or len(matched) == len(one)


def test_the_window_is_where_the_words_are() -> None:
    unit = hashed(LONG)
    row = hashed("x " * 500 + LONG + " y" * 500)
    window = window_of(unit, row, np.array([0, row.size]), np.array([True]))
    assert window is not None
    assert window.first <= 500
    assert window.end >= 500 + unit.size


def test_the_window_lies_in_one_message() -> None:
    unit = hashed("one two three four five six seven eight nine ten eleven twelve")
    row = hashed("one two three four five six seven nine ten eleven twelve eight")
    messages, asking = np.array([0, 7, 12]), np.array([True, False])
    assert window_of(unit, row, messages, asking) == (0, 7)


def test_a_number_must_be_there_as_often_as_the_item_has_it() -> None:
    item = "which team of the many teams in table_2_777_2 won the most games at home"
    assert says(item, item.replace("most", "very most"))
    assert not says(item, item.replace("777_2", "777_3"))


def test_the_verdict_that_is_shown_is_the_gravest() -> None:
    verdicts = [
        Verdict(Kind.SHARED_CONTEXT, 0, 0.9, 9, 0, 1),
        Verdict(Kind.PARAPHRASE, 1, 0.8, 0, *Window(0, 1)),
        Verdict(Kind.COPY, 2, 1.0, 9, 0, 1),
    ]
    assert worst(verdicts).kind is Kind.COPY
