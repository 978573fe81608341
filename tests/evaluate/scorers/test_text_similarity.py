"""Answers close to a reference text."""

import json
from pathlib import Path

import pytest

from modiste.errors import InvalidInput
from modiste.evaluate.items import Item

KNOWN = json.loads((Path(__file__).parents[2] / "parity" / "overlap.json").read_text())


@pytest.mark.parametrize("metric", ["chrf", "chrf++", "bleu", "fuzzy_match", "rouge_2", "rouge_l"])
def test_each_answer_has_the_figure_of_its_best_reference(bench, metric: str) -> None:
    similar = bench("text_similarity", metric=metric)
    for row in KNOWN["rows"][:40]:
        score = similar.score(row["said"], row["references"])
        assert score.value == pytest.approx(row[metric], abs=1e-12)


@pytest.mark.parametrize("metric", ["chrf", "bleu"])
def test_the_corpus_figure_is_sacrebleus_with_an_interval(bench, metric: str) -> None:
    similar = bench("text_similarity", metric=metric)
    samples = similar.samples([(row["said"], row["references"]) for row in KNOWN["rows"]])
    corpus = similar.metrics(samples)["corpus"].estimate
    assert corpus.value == pytest.approx(KNOWN["corpus"][metric], abs=1e-12)
    assert corpus.ci.lo < corpus.value < corpus.ci.hi
    assert corpus.ci.width < 0.2


def test_attempts_at_one_item_do_not_narrow_the_corpus_interval(bench) -> None:
    similar = bench("text_similarity", metric="chrf")
    pairs = [(row["said"], row["references"]) for row in KNOWN["rows"][:60]]
    once = similar.samples(pairs)
    items = [sample.item for sample in once]
    thrice = [
        similar.sample(item, said, attempt)
        for attempt in range(3)
        for item, (said, _) in zip(items, pairs, strict=True)
    ]
    one, three = (similar.metrics(s)["corpus"].estimate for s in (once, thrice))
    assert three.ci.width == pytest.approx(one.ci.width, rel=1e-9)
    assert (one.n, three.n) == (60, 60)


def test_a_threshold_says_what_passes(bench) -> None:
    similar = bench("text_similarity", metric="rouge_l", threshold=0.5)
    samples = similar.samples([("a b c", "a b c"), ("a b c", "x y z"), ("a b", "a b c")])
    assert similar.metrics(samples)["passed"].estimate.value == pytest.approx(2 / 3)


def test_rouge_tells_when_it_cannot_see_the_letters(bench) -> None:
    plain, every = (
        bench("text_similarity", metric="rouge_1", words=words) for words in ("ascii", "unicode")
    )
    (note,) = plain.metrics(plain.samples([("für", "für"), ("a", "a")]))["mean"].notes
    assert note.startswith("1 references have letters outside a–z")
    assert every.metrics(every.samples([("für", "für"), ("a", "a")]))["mean"].notes == ()


def test_a_metric_that_is_not_there_is_refused(bench) -> None:
    with pytest.raises(InvalidInput, match="meteor"):
        bench("text_similarity", metric="meteor")


def test_nothing_scored_is_a_metric_without_a_figure(bench) -> None:
    similar = bench("text_similarity")
    sample = similar.sample(Item("a", {}), "said")
    metrics = similar.metrics([sample])
    assert metrics["corpus"].estimate is None
    assert (metrics["mean"].estimate, metrics["mean"].n_unscored) == (None, 1)
