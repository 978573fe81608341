"""Function calls against the right ones."""

import pytest

from modiste.evaluate.items import Answer, Status
from modiste.types import ToolCall


def called(*calls: tuple[str, str]) -> Answer:
    return Answer(calls=tuple(ToolCall(None, name, arguments) for name, arguments in calls))


WEATHER = {"name": "weather", "arguments": {"city": "Bern", "days": 2}}
CLOCK = {"type": "function", "function": {"name": "clock", "arguments": "{}"}}


def test_arguments_are_compared_as_json(bench) -> None:
    calls = bench("tool_call")
    assert calls.score(called(("weather", '{"days":2.0, "city":"Bern"}')), WEATHER).value == 1
    wrong = calls.score(called(("weather", '{"days": 3, "city": "Bern"}')), WEATHER)
    assert wrong.value == 0
    assert wrong.reason.startswith("missing: weather(")
    assert "not asked for: weather(" in wrong.reason


def test_order_counts_only_when_asked_for(bench) -> None:
    said = called(("clock", ""), ("weather", '{"city": "Bern", "days": 2}'))
    assert bench("tool_call").score(said, [WEATHER, CLOCK]).value == 1
    ordered = bench("tool_call", order=True).score(said, [WEATHER, CLOCK])
    assert (ordered.value, ordered.reason) == (0, "the right calls in another order")
    assert bench("tool_call", order=True).score(said, [CLOCK, WEATHER]).value == 1


def test_more_arguments_may_be_allowed_or_all_ignored(bench) -> None:
    said = called(("weather", '{"city": "Bern", "days": 2, "unit": "C"}'))
    assert bench("tool_call").score(said, WEATHER).value == 0
    assert bench("tool_call", arguments="subset").score(said, WEATHER).value == 1
    assert (
        bench("tool_call", arguments="ignore").score(called(("weather", "x")), WEATHER).value == 1
    )


def test_pairs_are_found_even_where_a_call_fits_several(bench) -> None:
    right = [{"name": "f", "arguments": {}}, {"name": "f", "arguments": {"a": 1}}]
    said = called(("f", '{"a": 1}'), ("f", "{}"))
    assert bench("tool_call", arguments="subset").score(said, right).value == 1


def test_no_call_can_be_right(bench) -> None:
    assert bench("tool_call").score(Answer("hello"), []).value == 1
    assert bench("tool_call").score(called(("clock", "")), []).value == 0
    assert bench("tool_call").score(Answer("hello"), None).status is Status.SKIPPED
    assert bench("tool_call").score(Answer("hello"), [{"nam": "x"}]).status is Status.ERROR


def test_names_have_a_figure_of_their_own_and_broken_arguments_are_told(bench) -> None:
    calls = bench("tool_call")
    samples = calls.samples([(called(("weather", "{")), WEATHER), (called(), WEATHER)])
    metrics = calls.metrics(samples)
    assert metrics["mean"].estimate.value == 0
    assert metrics["names"].estimate.value == pytest.approx(0.5)
    assert metrics["mean"].notes == ("1 answers call with arguments that are not JSON",)
