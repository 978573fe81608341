"""Ways around a policy that end at an answer; over HTTP: `tests/api/test_guarded.py`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from typing import Any, cast

import pytest

from modiste.actions.answers import Calls, Delta, Ended, Event, Usage
from modiste.actions.guarded import Blocked, Guards, Rail
from modiste.actions.guarded_answers import GuardedAnswer
from modiste.actions.policies import Kept
from modiste.actions.reading import Drawn, Likely
from modiste.moderate.policy import Place, from_json
from modiste.serve.sequence import FinishReason
from modiste.types import ToolCall


def guards(action: str = "block") -> Guards:
    """One word, everywhere; a policy of rules alone asks neither server nor model."""
    category = {"code": "c", "title": "Rivals", "definition": "d", "action": action}
    said = {
        "name": "shop",
        "categories": [{**category, "applies_to": [place.value for place in Place]}],
        "detectors": [{"name": "w", "kind": "words", "category": "c", "words": ["Globex"]}],
    }
    rail = Rail("shop", Kept(from_json(said, file="policy"), 1))
    return Guards(cast("Any", None), cast("Any", None), [rail], cast("Any", None))


async def _events(events: Sequence[Event]) -> AsyncGenerator[Event | Usage]:
    for each in events:
        yield each


def told(events: Sequence[Event], guard: Guards | None = None, **around: str) -> list[Any]:
    async def read() -> list[Any]:
        answer = GuardedAnswer(_events(events), guard or guards(), n=1, **around)
        return [event async for event in answer.events()]

    return asyncio.run(read())


END = Ended(0, FinishReason.STOP, 1)


@pytest.mark.parametrize(
    "call", [ToolCall("a", "ask_globex", "{}"), ToolCall("a", "f", '{"a": "Gl\\u006fbex"}')]
)
def test_a_call_is_told_after_its_name_and_escapes_passed(call: ToolCall) -> None:
    with pytest.raises(Blocked):
        told([Calls(0, call), END])
    fine = ToolCall("a", "get_weather", json.dumps({"city": "Z\u00fcrich"}))
    assert told([Calls(0, fine), END]) == [Calls(0, fine), END]


def test_a_word_begun_by_the_caller_and_ended_by_the_model_is_one_word() -> None:
    with pytest.raises(Blocked):
        told([Delta(0, "bex is best"), END], continues="Buy it at Glo")
    with pytest.raises(Blocked):
        told([Delta(0, "Buy it at Glo"), END], leads_to="bex is best")
    with pytest.raises(Blocked):
        told([Delta(0, "Globex"), END], continues="It is")
    (delta, _) = told([Delta(0, "bex is best"), END], guards("redact"), continues="Buy at Glo")
    assert delta.text == "[Rivals] is best"
    (delta, _) = told([Delta(0, "Buy at Glo"), END], guards("redact"), leads_to="bex now")
    assert delta.text == "Buy at [Rivals]"


def drawn(text: str, likeliest: str | None = None) -> Drawn:
    likely = Likely(1, text, text.encode(), -0.1)
    top = likely if likeliest is None else Likely(2, likeliest, likeliest.encode(), -0.05)
    return Drawn(likely, (top, likely))


def test_log_probabilities_tell_nothing_that_the_text_may_not() -> None:
    cut = [Delta(0, "At Glo", (drawn("At Glo"), drawn("bex"))), END]  # A stop string cut it off.
    likelier = [Delta(0, "At Acme", (drawn("At "), drawn("Acme", "Globex"))), END]
    for events in (cut, likelier):
        assert not any(isinstance(each, Delta) and each.drawn for each in told(events))
    plain = [Delta(0, "At Acme", (drawn("At "), drawn("Acme"))), END]
    assert any(isinstance(each, Delta) and len(each.drawn) == 2 for each in told(plain))
