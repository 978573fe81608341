"""Answers that name a label, beside guessing."""

import pytest

from modiste.errors import InvalidInput
from modiste.evaluate.items import Status
from modiste.evaluate.stats.estimates import wilson

NO, YES = "not_news_related", "news_related"


def counts(tp: int, fp: int, fn: int, tn: int) -> list[tuple[str, str]]:
    return [(YES, YES)] * tp + [(YES, NO)] * fp + [(NO, YES)] * fn + [(NO, NO)] * tn


def test_the_published_classifier_is_shown_beside_its_baseline(bench) -> None:
    """87 % right with 20 % found becomes 96 % with 90 %, F1 20 % becomes 78 %; always answering
    the commonest label is right in 92 %. Counts per 1,000 that solve these at a prevalence of 8 %;
    rounding to whole answers leaves 5e-3."""
    base = bench("classification")
    figures = base.metrics(base.samples(counts(16, 64, 64, 856)))
    assert figures["accuracy"].estimate.value == pytest.approx(0.872, abs=5e-3)
    assert figures[f"recall.{YES}"].estimate.value == pytest.approx(0.20, abs=5e-3)
    assert figures["f1"].estimate.value == pytest.approx(0.20, abs=5e-3)
    assert figures["accuracy"].notes == (
        "always answering 'not_news_related' would be right in 92.0% (prevalence of"
        " 'news_related': 8.0%), which this model with 87.2% does not beat",
    )
    table = figures["accuracy"].table
    assert table["labels"] == [NO, YES]
    assert table["confusion"] == [[856, 64, 0], [64, 16, 0]]
    assert table["baseline"]["accuracy"] == pytest.approx(0.92)

    tuned = bench("classification")
    figures = tuned.metrics(tuned.samples(counts(72, 32, 8, 888)))
    assert figures["accuracy"].estimate.value == pytest.approx(0.96, abs=5e-3)
    assert figures[f"recall.{YES}"].estimate.value == pytest.approx(0.90, abs=5e-3)
    assert figures["f1"].estimate.value == pytest.approx(0.78, abs=5e-3)
    assert "does not beat" not in figures["accuracy"].notes[0]
    assert "92.0%" in figures["accuracy"].notes[0]


def test_shares_of_a_class_have_intervals_on_their_own_denominators(bench) -> None:
    news = bench("classification")
    figures = news.metrics(news.samples(counts(27, 5, 3, 65)))
    assert figures[f"recall.{YES}"].estimate.ci == wilson(27, 30)
    assert figures[f"precision.{YES}"].estimate.ci == wilson(27, 32)
    assert figures[f"recall.{YES}"].estimate.n == 30


def test_an_answer_without_a_label_is_wrong_and_told_apart(bench) -> None:
    news = bench("classification", labels=[NO, YES], positive=YES)
    samples = news.samples([(YES, YES), (NO, NO), ("I cannot say", YES), (YES, None)])
    figures = news.metrics(samples)
    assert figures["accuracy"].estimate.value == pytest.approx(2 / 3)
    assert figures["accuracy"].n_unscored == 1
    assert "1 of 3 answers name no label and count as wrong" in figures["accuracy"].notes
    assert figures["accuracy"].table["confusion"][1][2] == 1
    assert samples[2].scores["classification"].label is None
    assert samples[3].scores["classification"].status is Status.SKIPPED


def test_labels_come_from_the_references_and_become_part_of_the_identity(bench) -> None:
    colours = bench("classification")
    before = colours.scorer.identity
    colours.samples([("red", "red"), ("blue", "green"), ("green", "green")])
    assert colours.scorer.config["labels"] == ["green", "red"]
    assert colours.scorer.identity != before


def test_a_dataset_whose_references_are_no_labels_is_refused(bench) -> None:
    with pytest.raises(InvalidInput, match="references are 'blue', not among the labels"):
        bench("classification", labels=["red", "green"]).samples([("red", "blue")])
    with pytest.raises(InvalidInput, match="two are needed"):
        bench("classification").samples([("red", "red")])
    with pytest.raises(InvalidInput, match="pink is not among the labels"):
        bench("classification", labels=["red", "green"], positive="pink")


def test_several_attempts_at_an_item_are_not_independent(bench) -> None:
    news = bench("classification")
    pairs = counts(20, 8, 10, 62)
    once = news.samples(pairs)
    items = [sample.item for sample in once]
    thrice = [
        news.sample(item, said, attempt)
        for attempt in range(3)
        for item, (said, _) in zip(items, pairs, strict=True)
    ]
    one, three = news.metrics(once), news.metrics(thrice)
    recall = f"recall.{YES}"
    assert three[recall].estimate.value == pytest.approx(one[recall].estimate.value)
    assert three[recall].estimate.ci.width > 0.8 * one[recall].estimate.ci.width
    assert three["accuracy"].estimate.n == 100
    assert three["accuracy"].estimate.ci == one["accuracy"].estimate.ci


def test_many_labels_keep_their_figures_in_the_table_and_those_watched_as_metrics(bench) -> None:
    names = [f"intent {at}" for at in range(30)]
    intents = bench("classification", labels=names, watch=["intent 3"])
    figures = intents.metrics(intents.samples([(name, name) for name in names] * 2))
    assert [n for n in figures if "." in n] == [
        "precision.intent 3",
        "recall.intent 3",
        "f1.intent 3",
    ]
    assert len(figures["accuracy"].table["per_class"]) == 30
