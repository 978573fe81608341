"""Fields of JSON objects compared one by one."""

import json

import pytest

from modiste.evaluate.items import Status

GOLD = {"name": "Ada", "born": {"year": 1815, "city": "London"}, "tags": ["math", "poetry"]}


def test_the_denominator_is_the_references_fields(bench) -> None:
    """Divided by the answer's own keys, `{"name": "Ada"}` would score 1."""
    match = bench("json_match")
    assert match.score('{"name": "Ada"}', GOLD).value == pytest.approx(1 / 4)
    assert match.score(json.dumps(GOLD), GOLD).value == 1
    assert match.score(json.dumps(GOLD), json.dumps(GOLD)).value == 1


def test_nested_fields_have_figures_of_their_own(bench) -> None:
    match = bench("json_match")
    wrong = {**GOLD, "born": {"year": 1815.0, "city": "Paris"}, "more": 1}
    samples = match.samples([(json.dumps(wrong), GOLD), ("no JSON", GOLD), ("{}", {"name": "x"})])
    metrics = match.metrics(samples)
    assert metrics["mean"].estimate.value == pytest.approx((3 / 4 + 0 + 0) / 3)
    assert metrics["mean"].notes == ("1 answers add fields that the reference has not",)
    assert metrics["all_fields"].estimate.value == 0
    assert metrics["is_json"].estimate.value == pytest.approx(2 / 3)
    by_field = {n: m.estimate.value for n, m in metrics.items() if n.startswith("field.")}
    assert by_field == pytest.approx(
        {"field.name": 1 / 3, "field.born.year": 1 / 2, "field.born.city": 0, "field.tags": 1 / 2}
    )
    assert metrics["field.name"].estimate.n == 3
    assert metrics["field.born.city"].estimate.n == 2


def test_what_may_differ_is_said(bench) -> None:
    shuffled = json.dumps({"tags": ["Poetry", "math"]})
    gold = {"tags": ["math", "poetry"]}
    assert bench("json_match").score(shuffled, gold).value == 0
    free = bench("json_match", list_order=False, normalise="loose")
    assert free.score(shuffled, gold).value == 1
    assert free.score('{"tags": ["math", "math"]}', gold).value == 0
    some = bench("json_match", fields=["born"])
    assert some.score('{"born": {"year": 1815}}', GOLD).value == pytest.approx(1 / 2)


def test_fences_are_allowed_only_when_asked_for(bench) -> None:
    fenced = '```json\n{"a": 1}\n```'
    assert bench("json_match").score(fenced, {"a": 1}).value == 0
    assert bench("json_match", lenient=True).score(fenced, {"a": 1}).value == 1
    assert bench("json_match", lenient=True).score(f"Here: {fenced}", {"a": 1}).value == 0


def test_a_reference_that_is_no_object_is_an_error_of_the_dataset(bench) -> None:
    score = bench("json_match").score("{}", "[1]")
    assert score.status is Status.ERROR
    assert bench("json_match").score("{}", {}).status is Status.SKIPPED
