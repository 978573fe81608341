"""Answers that must be, or hold, a reference text."""

from collections.abc import Callable

import pytest

from modiste.evaluate.items import Answer, Failure, Status

Made = Callable[..., "object"]


def test_exact_lets_nothing_differ_unless_told(bench) -> None:
    strict, loose = bench("exact"), bench("exact", normalise="loose")
    assert strict.score("Paris", "Paris").value == 1
    assert strict.score("paris.", "Paris").value == 0
    assert loose.score(" ＰＡＲＩＳ. ", "Paris").value == 1
    assert loose.score("Paris, France", "Paris").value == 0


def test_any_of_several_references_is_right(bench) -> None:
    assert bench("exact").score("grey", ["gray", "grey"]).value == 1
    assert bench("exact").score("42", 42).value == 1


def test_includes_wants_one_or_all(bench) -> None:
    either, every = bench("includes"), bench("includes", need="all")
    assert either.score("red and blue", ["red", "green"]).value == 1
    missing = every.score("red and blue", ["red", "green"])
    assert (missing.value, missing.reason) == (0, "not in the answer: green")
    assert every.score("green and red", ["red", "green"]).value == 1


@pytest.mark.parametrize("kind", ["exact", "includes"])
def test_no_reference_is_skipped_and_not_wrong(bench, kind: str) -> None:
    score = bench(kind).score("anything")
    assert (score.status, score.value) == (Status.SKIPPED, None)


def test_an_empty_reference_is_not_found_in_everything(bench) -> None:
    assert bench("includes").score("anything", "").status is Status.SKIPPED


@pytest.mark.parametrize(("code", "status"), [("timeout", "timeout"), ("unavailable", "error")])
def test_a_model_that_fails_is_not_a_wrong_answer(bench, code: str, status: str) -> None:
    score = bench("exact").score(Answer(failure=Failure(code, "it broke")), "Paris")
    assert (score.status, score.value) == (status, None)
    assert "it broke" in score.reason
