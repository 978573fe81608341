"""Answers that name a set of labels."""

import pytest

from modiste.errors import InvalidInput
from modiste.evaluate.items import Item, Status


def test_sets_of_labels_are_right_as_a_whole_and_label_by_label(bench) -> None:
    """Said {a,b}, {a}, {}, {c, ?}; right {a,b}, {a,c}, {}, {c}: TP 4, said 4 + 1, right 5."""
    tags = bench("classification", separator=",")
    samples = tags.samples([("b, a", ["a", "b"]), ("a", "a, c"), ("none", []), ("c, blah", "c")])
    figures = tags.metrics(samples)
    assert figures["exact_match"].estimate.value == pytest.approx(2 / 4)
    assert figures["micro_f1"].estimate.value == pytest.approx(8 / 10)
    assert figures["macro_f1"].estimate.value == pytest.approx((1 + 1 + 2 / 3) / 3)
    assert figures["f1.c"].estimate.value == pytest.approx(2 / 3)
    assert figures["exact_match"].notes == ("1 answers hold parts that are no label",)
    assert samples[3].scores["classification"].reason == "no label: blah"


def test_sets_without_a_reference_are_skipped(bench) -> None:
    tags = bench("classification", separator=",", labels=["a", "b"])
    assert tags.score("a").status is Status.SKIPPED
    assert tags.metrics([tags.sample(Item("x", {}), "a")])["exact_match"].estimate is None


def test_references_outside_the_labels_are_refused(bench) -> None:
    with pytest.raises(InvalidInput, match="references name 'c', not among the labels a, b"):
        bench("classification", separator=",", labels=["a", "b"]).samples([("a", ["a", "c"])])
