"""Stored figures of two runs: each is compared as what it is, or listed, never guessed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scripted_runs import item, run, run_of, sample

from modiste.errors import InvalidInput
from modiste.evaluate.comparison import compare
from modiste.evaluate.items import Answer
from modiste.evaluate.markdown import summary_markdown
from modiste.evaluate.record import Run
from modiste.evaluate.report_comparison import comparison_page
from modiste.evaluate.scorers.classification import ClassificationSpec
from modiste.evaluate.scorers.json_match import JsonMatchSpec
from modiste.evaluate.verdict import Verdict

LABELS = ("news", "not_news", "other")


@pytest.mark.parametrize("separator", [None, ";"])
@pytest.mark.parametrize("attempts", [1, 2])
def test_every_figure_of_a_classifier_is_compared_and_is_the_difference_of_the_two(
    separator: str | None, attempts: int
) -> None:
    def classified(name: str, right: float, seed: int) -> Run:
        rng = np.random.default_rng(seed)
        spec = ClassificationSpec(labels=LABELS, separator=separator)
        scorer = spec.build()
        samples = []
        for at in range(120):
            asked = item(at, reference=LABELS[at % 3])
            for k in range(attempts):
                text = LABELS[at % 3] if rng.random() < right else str(rng.choice([*LABELS, "?"]))
                grade = scorer.look(asked, Answer(text=text))  # type: ignore[attr-defined]
                samples.append(sample(asked, {scorer.name: grade}, attempt=k, text=text))
        made = run_of(name, samples, [scorer.name], record={"attempts": attempts})
        return replace(made, metrics=scorer.metrics(samples))

    a, b = classified("a", 0.4, 1), classified("b", 0.8, 2)
    told = compare(a, b)
    assert told.not_compared == ()
    assert {each.kind.metric for each in told.differences} == {metric.id for metric in a.metrics}
    for each in told.differences:
        old, new = a.metric(each.kind.metric).estimate, b.metric(each.kind.metric).estimate
        assert old is not None
        assert new is not None
        assert each.estimate is not None
        assert each.baseline == pytest.approx(old.value)
        assert each.candidate == pytest.approx(new.value)
        assert each.estimate.value == pytest.approx(new.value - old.value)
    assert told.primary.verdict is Verdict.BETTER
    assert [each.kind.metric for each in told.differences if each.of_items] == [a.metrics[0].id]


def test_counts_of_a_class_figure_are_told_to_be_of_all_items() -> None:
    scorer = ClassificationSpec(name="intent", labels=LABELS).build()

    def answered(name: str, text: str) -> Run:
        samples = []
        for at in range(30):
            asked = item(at, reference=LABELS[at % 3])
            grade = scorer.look(asked, Answer(text=text))  # type: ignore[attr-defined]
            samples.append(sample(asked, {"intent": grade}, text=text))
        made = run_of(name, samples, ["intent"])
        return replace(made, metrics=scorer.metrics(samples))

    told = compare(answered("a", "news"), answered("b", "other"), metrics=["intent.macro_f1"])
    (macro,) = told.differences
    assert (macro.wins, macro.ties, macro.losses, macro.counts) == (10, 10, 10, "10/10/10*")
    said = "items, of whatever class, on which B's score of intent is better, equal or worse"
    for shown in (summary_markdown(told), comparison_page(told).replace("&#x27;", "'")):
        assert said in shown
    first = compare(answered("a", "news"), answered("b", "other"), metrics=["intent.accuracy"])
    assert first.primary.counts == "10/10/10"
    assert "whatever class" not in summary_markdown(first) + comparison_page(first)


def test_figures_that_happen_to_equal_the_mean_are_not_taken_for_it() -> None:
    """All answers unreadable: accuracy, macro F1 and recall are 0 alike, MCC and precision none."""
    scorer = ClassificationSpec(labels=("yes", "no")).build()
    samples = []
    for at in range(60):
        asked = item(at, reference=("yes", "no")[at % 2])
        grade = scorer.look(asked, Answer(text="hm"))  # type: ignore[attr-defined]
        samples.append(sample(asked, {scorer.name: grade}))
    made = run_of("a", samples, [scorer.name])
    made = replace(made, metrics=scorer.metrics(samples))
    told = compare(made, made)
    methods = {
        each.kind.metric.partition(".")[2]: each.estimate.method
        for each in told.differences
        if each.estimate is not None
    }
    assert "bootstrap" in methods["macro_f1"]
    assert "bootstrap" in methods["recall.yes"]
    assert "bootstrap" not in methods["accuracy"]
    assert {each.metric.partition(".")[2] for each in told.not_compared} == {
        "mcc", "precision.yes", "precision.no",
    }  # fmt: skip


def test_figures_that_scores_keep_beside_their_value_are_compared_where_items_have_them() -> None:
    scorer = JsonMatchSpec().build()

    def answered(name: str, right: Callable[[int], str]) -> Run:
        samples = []
        for at in range(90):
            asked = item(at, reference={"city": "Rome"} if at % 3 else {"city": "Rome", "zip": 7})
            grade = scorer.look(asked, Answer(text=right(at)))  # type: ignore[attr-defined]
            samples.append(sample(asked, {scorer.name: grade}))
        made = run_of(name, samples, [scorer.name])
        return replace(made, metrics=scorer.metrics(samples))

    a = answered("a", lambda at: "Rome" if at % 2 else '{"city": "Rome"}')
    b = answered("b", lambda at: '{"city": "Rome", "zip": 7}')
    told = compare(a, b)
    assert told.not_compared == ()
    found = {each.kind.metric.split(".", 1)[1]: each for each in told.differences}
    assert set(found) == {"mean", "all_fields", "is_json", "field.city", "field.zip"}
    assert found["is_json"].estimate is not None
    assert found["is_json"].estimate.value == pytest.approx(0.5)
    zips = found["field.zip"]
    assert zips.estimate is not None
    assert (zips.estimate.n, zips.n_unpaired, zips.candidate) == (30, 0, 1.0)


def test_a_figure_that_nobody_can_take_apart_is_listed_not_guessed() -> None:
    def with_corpus(name: str, value: float) -> Run:
        made = run(name, {"bleu": [0.2, 0.4] * 30})
        first = made.metrics[0]
        assert first.estimate is not None
        corpus = replace(first, name="corpus", estimate=replace(first.estimate, value=value))
        return replace(made, metrics=[first, corpus])

    told = compare(with_corpus("a", 0.41), with_corpus("b", 0.55))
    assert [each.metric for each in told.not_compared] == ["bleu.corpus"]
    with pytest.raises(InvalidInput, match=r"bleu\.corpus cannot be compared"):
        compare(with_corpus("a", 0.41), with_corpus("b", 0.55), metrics=["bleu.corpus"])


def test_a_quantile_is_compared_by_drawing_the_items_again() -> None:
    rng = np.random.default_rng(0)

    def timed(name: str, times: float) -> Run:
        made = run(name, {"slow": list(rng.exponential(times, 300))}, unit="s")
        first = made.metrics[0]
        assert first.estimate is not None
        values = [s.scores["slow"].value or 0.0 for s in made.samples]
        p95 = replace(first.estimate, value=float(np.quantile(values, 0.95)))
        return replace(made, metrics=[first, replace(first, name="p95", estimate=p95)])

    a, b = timed("a", 1.0), timed("b", 3.0)
    told = compare(a, b).difference("slow.p95")
    assert told.estimate is not None
    assert a.metrics[1].estimate is not None
    assert told.baseline == a.metrics[1].estimate.value
    assert "bootstrap" in told.estimate.method
    assert told.estimate.ci.lo > 0
