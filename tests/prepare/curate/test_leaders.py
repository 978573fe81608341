"""Every row that is dropped is verified to be like one that is kept."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modiste.prepare.curate import leaders as module
from modiste.prepare.curate import normal
from modiste.prepare.curate.leaders import clusters, find
from modiste.prepare.curate.near import near_duplicates
from modiste.prepare.curate.shingle_file import ShingleFile, filled

WORDS = [f"w{i}" for i in range(3000)]


def text(seed: int, n: int = 100) -> list[str]:
    return random.Random(seed).choices(WORDS, k=n)


def shifted(words: list[str], by: int) -> list[str]:
    """`by` words later in an endless text: J falls slowly with the distance."""
    return words[by : by + 100]


def everything(sets: ShingleFile, threshold: float = 0.7) -> module.Found:
    alive = np.ones(len(sets), dtype=np.bool_)
    return find(sets, alive=alive, order=range(len(sets)), threshold=threshold)


def test_copies_with_small_edits_follow_the_first() -> None:
    base = text(0)
    rows = [text(1), base, text(2), [*base[:50], "new", *base[51:]], text(3)]
    found = everything(filled([" ".join(row) for row in rows], 5))
    assert {like.row: like.of for like in found.dropped.values()} == {3: 1}


def test_a_chain_is_one_cluster_but_its_far_end_is_kept() -> None:
    """Windows 10 words apart share 86 of 106 shingles (J = .83), those 30 apart 66 of 126 (.52)."""
    endless = text(5, 200)
    rows = [" ".join(shifted(endless, by)) for by in (0, 10, 20, 30)]
    found = everything(filled(rows, 5))
    assert set(found.dropped) == {1, 2} or set(found.dropped) == {1, 3}
    assert clusters((like.row, like.of) for like in found.links) == [(0, 1, 2, 3)]


def test_recall_of_planted_pairs_is_what_theory_promises() -> None:
    """300 pairs at J = .83: each missed with probability 1e-5."""
    rows = []
    for seed in range(300):
        words = text(seed, 150)
        rows += [" ".join(shifted(words, 0)), " ".join(shifted(words, 9))]
    found = near_duplicates(rows)
    assert found == [(i, i + 1) for i in range(0, 600, 2)]


def test_unlike_rows_are_left_alone() -> None:
    assert near_duplicates([" ".join(text(seed)) for seed in range(300)]) == []


def compared(rows: list[tuple[str, str]]) -> module.Found:
    """Question and answer of each row, numbers that tell them apart included."""
    sets, words = ShingleFile(5), ShingleFile(1)
    for question, answer in rows:
        sets.add(question, answer)
        words.add(normal.words(question), normal.words(answer))
    sets.settle()
    words.settle()
    asked, answered = ([row[side] for row in rows] for side in (0, 1))
    questions = np.array([asked.index(question) for question in asked], dtype=np.uint64)
    answers = np.array([answered.index(answer) for answer in answered])
    known = module.Rows(questions, answers, words)
    alive = np.ones(len(rows), dtype=np.bool_)
    return find(sets, alive=alive, order=range(len(rows)), threshold=0.7, rows=known)


def dropped(found: module.Found) -> dict[int, int]:
    return {like.row: like.of for like in found.dropped.values()}


def test_rows_alike_that_answer_differently_are_kept_and_named() -> None:
    question = " ".join(text(1))
    found = compared([(question, "yes"), (question, "no"), (question + " please", "yes")])
    assert dropped(found) == {2: 0}
    assert [(like.row, like.of) for like in found.differing] == [(1, 0), (2, 1)]


def test_an_answer_that_changes_with_the_question_is_another_answer() -> None:
    """One word of thirty: J = .76, enough for an equal question, not for another."""
    question, answer = " ".join(text(1)), text(2, 40)
    average = " ".join([*answer[:20], "average", *answer[21:]])
    maximum = " ".join([*answer[:20], "maximum", *answer[21:]])
    assert dropped(compared([(question, average), (question, maximum)])) == {1: 0}
    assert dropped(compared([(question + " average", average), (question, maximum)])) == {}


def test_one_long_answer_does_not_make_different_questions_the_same() -> None:
    refusal = " ".join(text(1))
    questions = ["how do i pick this old lock", "how do i pick that old lock", "is it inherited"]
    assert dropped(compared([(question, refusal) for question in questions])) == {1: 0}


def test_a_word_carried_from_question_to_answer_makes_a_case_of_its_own() -> None:
    question, answer = text(1), text(2, 100)
    rows = [(" ".join([*question, city]), " ".join([*answer, city])) for city in ("BAL", "HOU")]
    assert dropped(compared(rows)) == {}
    rows = [(" ".join([*question, city]), " ".join(answer)) for city in ("BAL", "HOU")]
    assert dropped(compared(rows)) == {1: 0}


def test_words_put_in_on_both_sides_make_no_other_row_words_exchanged_do() -> None:
    question, answer = text(1), text(2, 40)
    more = (" ".join([*question, "please"]), " ".join([*answer[:20], "indeed", *answer[20:]]))
    assert dropped(compared([(" ".join(question), " ".join(answer)), more])) == {1: 0}
    other = (" ".join([*question[:-1], "left"]), " ".join([*answer[:20], "west", *answer[21:]]))
    assert dropped(compared([(" ".join(question), " ".join(answer)), other])) == {}


def test_a_long_answer_may_differ_in_a_word_even_if_the_question_does() -> None:
    question, answer = " ".join(text(1)), text(2, 150)
    edited = " ".join([*answer[:75], "edited", *answer[76:]])
    assert dropped(compared([(question, " ".join(answer)), (question + " please", edited)])) == {
        1: 0
    }


def test_the_row_that_comes_first_in_order_is_kept() -> None:
    sets = filled([" ".join(text(1))] * 3, 5)
    found = find(sets, alive=np.ones(3, dtype=np.bool_), order=[2, 0, 1], threshold=0.7)
    assert {like.row: like.of for like in found.dropped.values()} == {0: 2, 1: 2}


def test_rows_that_are_not_alive_and_rows_without_words_take_no_part() -> None:
    sets = filled([" ".join(text(1))] * 2 + ["", ""], 5)
    alive = np.array([True, False, True, True])
    found = find(sets, alive=alive, order=range(4), threshold=0.7)
    assert found.links == []


def test_a_crowd_in_one_band_costs_a_bounded_number_of_comparisons(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST_COMPARED", 4)
    sets = ShingleFile(5)
    for number in range(40):
        sets.add(" ".join(text(1)), f"answer {number}")
    sets.settle()
    found = everything(sets)
    assert found.n_compared <= 40 * 4
    assert found.n_capped == 35


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=40))
def test_clusters_are_what_can_be_reached(links: list[tuple[int, int]]) -> None:
    reach = {row: {row} for link in links for row in link}
    for _ in range(31):
        for one, other in links:
            reach[one] |= reach[other]
            reach[other] |= reach[one]
    assert clusters(links) == sorted({tuple(sorted(rows)) for rows in reach.values()})


def test_no_texts_have_no_duplicates() -> None:
    assert near_duplicates([]) == []
    assert near_duplicates(["one"]) == []
