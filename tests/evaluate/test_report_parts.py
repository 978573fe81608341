"""Parts of reports: nothing of a model's reaches the page as markup, nothing is cut in silence."""

from __future__ import annotations

import pytest
from scripted_runs import RECORD, item, run_of, sample

from modiste.evaluate.items import Answer, Failure, Status, scored, unscored
from modiste.evaluate.report_parts import (
    answer_turn,
    first_words,
    record_table,
    sample_body,
    score_pill,
    scores_list,
    shown,
    statuses,
    text,
)


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (0.5, "share", "50.0 %"),
        (-0.031, "share", "−3.1 %"),
        (1234.5, "tokens", "1,234 tokens"),
        (0.25, "s", "0.25 s"),
        (None, "s", "–"),
    ],
)
def test_figures_are_told_in_their_unit(value: float | None, unit: str, said: str) -> None:
    assert shown(value, unit) == said


def test_long_texts_say_how_much_is_left_out() -> None:
    cut = text("x" * 4_250)
    assert cut.count("x") == 4_000
    assert "250 more letters" in cut


def test_markup_and_control_characters_are_shown_as_what_they_are() -> None:
    told = text('<img src=x onerror="alert(1)">\x1b[31m\u202e')
    assert "<img" not in told
    assert "U+001B" in told
    assert "U+202E" in told


def test_a_sample_shows_prompt_answer_reference_scores_and_transcript() -> None:
    judged = scored(0.4, label="B", reason="cites <nothing>", reply='{"score": 2}\nbecause')
    told = sample_body(sample(item(3), {"judge": judged, "exact": None}, text="so be it"))
    for part in ("Question 3?", "so be it", "right 3", "cites &lt;nothing&gt;", "because", "0.4"):
        assert part in told
    assert "parse failed" in told
    assert "read as" in told


def test_an_answer_that_failed_says_why_and_one_cut_off_says_so() -> None:
    failed = answer_turn(Answer(failure=Failure("timeout", "no answer in 60 s")))
    assert "answer: none" in failed
    assert "timeout: no answer in 60 s" in failed
    assert "ended by length" in answer_turn(Answer(text="and so", finish="length"))


def test_unscored_attempts_are_counted_by_why() -> None:
    samples = [
        sample(item(0), {"judge": 1}),
        sample(item(1), {"judge": unscored(Status.REFUSED, "would not")}),
        sample(item(2), {"judge": unscored(Status.REFUSED, "would not")}),
        sample(item(3), {}),
    ]
    assert statuses(samples, "judge") == {"refused": 2, "missing": 1}


def test_an_item_is_named_by_what_was_asked_in_one_line() -> None:
    assert first_words(sample(item(1), {"a": 1})) == "Question 1?"
    long = sample(item(1, row={"question": "a\nb " * 100}), {"a": 1})
    assert first_words(long).endswith("…")
    assert "\n" not in first_words(long)


def test_what_runs_rest_on_stands_side_by_side() -> None:
    one = run_of("b", [sample(item(0), {"exact": 1})], ["exact"])
    told = record_table([RECORD, one.record], ["A", "B"])
    assert "<th>A</th><th>B</th>" in told
    assert "evrun_a" in told
    assert "evrun_b" in told


def test_a_missing_score_is_no_zero() -> None:
    assert "no score" in score_pill(None)
    assert "0" not in score_pill(unscored(Status.TIMEOUT, "late"))
    assert scores_list({}) == '<div class="scores"></div>'
