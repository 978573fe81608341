from __future__ import annotations

from collections.abc import Callable
from typing import Any

from modiste.prepare.curate.fields import value_at, value_of, values_of
from modiste.prepare.curate.stage import Corpus

Rows = Callable[..., Corpus]
Chat = Callable[..., dict[str, Any]]


def test_prompts_are_the_same_whatever_their_case_and_blanks(corpus: Rows, chat: Chat) -> None:
    rows = corpus([chat("What  is it?"), chat(" what is IT?", "No."), chat("What was it?")])
    first, second, third = map(value_of("prompt"), rows)
    assert first == second != third
    answers = [value_of("answer")(record) for record in rows]
    assert answers == ["yes.", "no.", "yes."]


def test_a_path_leads_into_the_row_as_it_was_written(corpus: Rows, chat: Chat) -> None:
    row = chat("a", meta={"user": 7, "tags": ["x", "y"]}, **{"dotted.name": "z"})
    record = next(iter(corpus([row])))
    assert value_of("meta.user")(record) == "7"
    assert values_of("meta.tags")(record) == ("x", "y")
    assert value_of("messages[0].role")(record) == "user"
    assert value_of("dotted.name")(record) == "z"
    assert value_of("meta.nothing")(record) is None
    assert value_of("messages[9].role")(record) is None
    assert value_of("type")(record) == "instruct"


def test_a_path_through_a_text_leads_nowhere() -> None:
    assert value_at({"a": "text"}, "a.b") is None
    assert value_at({"a": "text"}, "a[0]") is None
    assert value_at([], "a") is None
