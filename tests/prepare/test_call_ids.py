"""Ids of tool calls."""

from typing import Any

from modiste.prepare.call_ids import with_short_ids


def asks(*ids: Any) -> dict[str, Any]:
    calls = [{"id": each, "function": {"name": f"f{at}"}} for at, each in enumerate(ids)]
    return {"role": "assistant", "tool_calls": calls}


def result(**more: Any) -> dict[str, Any]:
    return {"role": "tool", "content": "1", **more}


def test_right_ids_are_kept_and_nothing_is_copied() -> None:
    messages = [asks("abcdefghi"), result(tool_call_id="abcdefghi")]
    assert with_short_ids(messages).messages[0] is messages[0]
    assert with_short_ids(messages).changes == []


def test_an_id_is_made_from_what_stands_there() -> None:
    one, two = (with_short_ids([asks("call_1")]).messages[0] for _ in range(2))
    assert one == two
    assert len(one["tool_calls"][0]["id"]) == 9
    assert with_short_ids([asks("call_2")]).messages[0] != one


def test_results_without_an_id_go_by_name_then_by_order() -> None:
    named = with_short_ids([asks("x", "y"), result(name="f1"), result(name="f0")]).messages
    ids = [call["id"] for call in named[0]["tool_calls"]]
    assert [message["tool_call_id"] for message in named[1:]] == ids[::-1]
    bare = with_short_ids([asks("x", "y"), result(), result()]).messages
    assert [message["tool_call_id"] for message in bare[1:]] == ids


def test_results_that_do_not_fit_their_calls_are_left() -> None:
    messages = with_short_ids([asks("x", "y"), result()]).messages
    assert "tool_call_id" not in messages[1]
    other = with_short_ids([asks("x"), result(name="somebody_else")]).messages
    assert "tool_call_id" not in other[1]


def test_a_new_id_never_meets_an_old_one() -> None:
    made = with_short_ids([asks("call_1")]).messages[0]["tool_calls"][0]["id"]
    again = with_short_ids([asks("call_1"), asks(made)]).messages
    assert again[0]["tool_calls"][0]["id"] != made
