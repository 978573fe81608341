"""Rows that say the same are there once, and what was dropped is told."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modiste.errors import InvalidInput
from modiste.prepare.curate.dedup import STAGE, Dedup, Keep, dedup
from modiste.prepare.curate.embedders import Meaning, Vectors
from modiste.prepare.curate.stage import Corpus, Outcome, parse_settings, write

Rows = Callable[..., Corpus]
Chat = Callable[..., dict[str, Any]]
WORDS = [f"w{i}" for i in range(2000)]


def text(seed: int, n: int = 60) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=n))


def edited(words: str, seed: int = 0) -> str:
    parts = words.split()
    parts[random.Random(seed).randrange(len(parts))] = "edited"
    return " ".join(parts)


def lines(outcome: Outcome) -> list[int]:
    return [record.line for record in outcome.kept]  # type: ignore[union-attr]


def test_equal_rows_are_kept_once(corpus: Rows, chat: Chat) -> None:
    rows = corpus([chat("A b"), chat("c"), chat("a  B"), chat("A b", user="ada")])
    outcome = dedup([rows], Dedup())
    assert lines(outcome) == [1, 2]
    assert outcome.report["dropped_by_reason"] == {"exact": 2, "near": 0, "semantic": 0}
    assert [(d["line"], d["of"]["line"]) for d in outcome.report["dropped"]] == [(3, 1), (4, 1)]


def test_nearly_equal_rows_are_kept_once(corpus: Rows, chat: Chat) -> None:
    rows = [chat(text(i), text(i + 1000)) for i in range(30)]
    rows += [chat(edited(text(i), i), text(i + 1000)) for i in range(30)]
    outcome = dedup([corpus(rows)], Dedup())
    assert lines(outcome) == list(range(1, 31))
    dropped = outcome.report["dropped"]
    assert all(d["reason"] == "near" and d["of"]["line"] == d["line"] - 30 for d in dropped)
    assert all(0.7 <= d["similarity"] < 1 for d in dropped)
    assert lines(dedup([corpus(rows)], Dedup(near=False))) == list(range(1, 61))


def test_equal_questions_with_other_answers_are_kept_and_listed(corpus: Rows, chat: Chat) -> None:
    rows = [chat("Is it?", "Yes."), chat("is it?", "No."), chat(text(1), "a"), chat(text(1), "b")]
    outcome = dedup([corpus(rows)], Dedup())
    assert lines(outcome) == [1, 2, 3, 4]
    review = outcome.report["review"]["same_question"]
    assert (review["n"], review["n_rows"]) == (2, 4)
    assert [row["answered"] for row in review["groups"][0]["rows"]] == ["Yes.", "No."]


def test_a_word_that_every_question_frames_does_not_make_rows_alike(
    corpus: Rows, chat: Chat
) -> None:
    frame = text(7, 80)
    rows = [chat(f"{frame} {text(i, 8)}", "positive") for i in range(300)]
    outcome = dedup([corpus(rows)], Dedup())
    assert len(lines(outcome)) == 300
    assert outcome.report["near"]["boilerplate_shingles"] == 76
    assert len(lines(dedup([corpus(rows)], Dedup(boilerplate=0)))) == 1


@pytest.mark.parametrize(("keep", "line"), [(Keep.FIRST, 1), (Keep.LONGEST, 2), (Keep.WEIGHT, 3)])
def test_the_row_that_is_kept_is_the_one_asked_for(
    corpus: Rows, chat: Chat, keep: Keep, line: int
) -> None:
    answer = text(1)
    rows = corpus(
        [
            chat("why", answer, weight=1),
            chat("why", answer + " at length", weight=2),
            chat("why", edited(answer), weight=3),
        ]
    )
    assert lines(dedup([rows], Dedup(keep=keep))) == [line]


def test_digits_are_levelled_on_request(corpus: Rows, chat: Chat) -> None:
    rows = corpus([chat("in 1984"), chat("in 2026")])
    assert lines(dedup([rows], Dedup())) == [1, 2]
    assert lines(dedup([rows], Dedup(digits=True))) == [1]


def test_classifier_rows_with_other_labels_stay(corpus: Rows) -> None:
    rows = [{"text": text(1), "labels": {"mood": label}} for label in ("good", "bad", "good")]
    outcome = dedup([corpus(rows)], Dedup())
    assert lines(outcome) == [1, 2]
    assert outcome.report["review"]["same_question"]["n"] == 1


def test_swapped_preferences_stay_and_are_listed(corpus: Rows) -> None:
    def pair(chosen: str, rejected: str) -> dict[str, Any]:
        return {"prompt": text(1), "chosen": chosen, "rejected": rejected}

    one, other = text(2), text(3)
    outcome = dedup([corpus([pair(one, other), pair(other, one), pair(one, other)])], Dedup())
    assert lines(outcome) == [1, 2]
    assert outcome.report["review"]["same_question"]["n"] == 1


def test_rows_go_in_favour_of_one_that_stays_even_through_another(corpus: Rows, chat: Chat) -> None:
    """Line 3 equals line 2, and line 2 is near line 1."""
    answer = text(1)
    near = edited(answer)
    outcome = dedup([corpus([chat("why", answer), chat("why", near), chat("WHY", near)])], Dedup())
    [cluster] = outcome.report["clusters"]
    assert lines(outcome) == [1]
    assert cluster["kept"]["line"] == 1
    assert [row["line"] for row in cluster["dropped"]] == [2, 3]


def test_several_files_are_one_stream(corpus: Rows, chat: Chat) -> None:
    inputs = [corpus([chat("a"), chat("b")], "one.jsonl"), corpus([chat("B")], "two.jsonl")]
    outcome = dedup(inputs, Dedup())
    assert [record.file for record in outcome.kept] == ["one.jsonl"] * 2  # type: ignore[union-attr]
    assert outcome.report["dropped"][0]["file"] == "two.jsonl"


def test_the_report_stands_beside_rows_kept_byte_for_byte(
    corpus: Rows, chat: Chat, tmp_path: Path
) -> None:
    rows = corpus([chat(text(1)), chat(edited(text(1))), chat("ü")])
    outcome = dedup([rows], Dedup())
    report = write(STAGE, outcome, tmp_path / "out.jsonl", settings=Dedup(), inputs=[rows])
    before = rows.path.read_bytes().splitlines()
    assert (tmp_path / "out.jsonl").read_bytes().splitlines() == [before[0], before[2]]
    assert (report["rows"], report["kept"]) == (3, 2)
    assert report["clusters"][0]["dropped"][0]["asked"].startswith("w")


def test_unknown_settings_are_refused_with_the_nearest_name() -> None:
    with pytest.raises(InvalidInput, match="did you mean threshold"):
        parse_settings(Dedup, {"treshold": 0.8}, where="dedup")


def by_topic(texts: Sequence[str]) -> Vectors:
    """Texts are about the same if their first words are; a known-answer embedder."""
    topics = {"cat": 0, "feline": 0, "dog": 1, "yes": 2, "sure": 2, "no": 3}
    vectors = np.full((len(texts), 5), 0.01, dtype=np.float32)
    for row, one in enumerate(texts):
        vectors[row, topics.get((one.lower().split() or [""])[0].strip("."), 4)] = 1
    return vectors


MEANING = Meaning(url="http://localhost/v1", model="by-topic")


def test_same_meaning_is_kept_once_and_other_answers_are_listed(corpus: Rows, chat: Chat) -> None:
    rows = corpus(
        [
            chat("Cat sits?", "Yes."),
            chat("Feline rests?", "Sure it does."),
            chat("Dog sits?", "Yes."),
            chat("Cat is here?", "No."),
        ]
    )
    outcome = dedup([rows], Dedup(semantic=MEANING), embed=by_topic)
    assert lines(outcome) == [1, 3, 4]
    report = outcome.report
    assert report["dropped_by_reason"]["semantic"] == 1
    assert report["semantic"]["borderline"][0]["rows"][0]["asked"] == "Cat sits?"
    listed = report["review"]["same_meaning_answered_differently"]
    assert {pair["rows"][1]["line"] for pair in listed["pairs"]} == {4}


def test_nothing_to_do_is_fine(corpus: Rows) -> None:
    outcome = dedup([corpus([])], Dedup(semantic=MEANING), embed=by_topic)
    assert lines(outcome) == []
    assert outcome.report["rows"] == 0


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    asked=st.lists(
        st.tuples(st.sampled_from(["a b", "A  b", "c", "", " "]), st.sampled_from(["x", "X", "y"])),
        max_size=12,
    ),
    keep=st.sampled_from([Keep.FIRST, Keep.LONGEST]),
)
def test_what_is_dropped_equals_something_kept_and_nothing_is_lost(
    corpus: Rows, asked: list[tuple[str, str]], keep: Keep
) -> None:
    rows = [{"text": f"{q} | {a}"} for q, a in asked]
    outcome = dedup([corpus(rows)], Dedup(keep=keep))
    kept = lines(outcome)
    said = {
        line: " ".join(rows[line - 1]["text"].lower().split()) for line in range(1, 13)[: len(rows)]
    }
    assert len({said[line] for line in kept}) == len(kept)
    assert {said[line] for line in kept} == set(said.values())
    assert sorted(kept + [d["line"] for d in outcome.report["dropped"]]) == list(said)
    again = dedup([corpus([rows[line - 1] for line in kept])], Dedup(keep=keep))
    assert len(lines(again)) == len(kept)
