"""Which turns are trained, on a format simple enough to read: one id per message."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from modiste.errors import InvalidInput
from modiste.prepare.turns import Rendered, Turn, Writer, samples, sequence, text_samples, turns
from modiste.types import Message, Role, ToolCall

END = 0
NUMBERS = {Role.SYSTEM: 1, Role.USER: 2, Role.ASSISTANT: 3, Role.TOOL: 4}


def chat(*roles: str, weights: Sequence[int | None] = ()) -> list[Message]:
    """`u` user, `a` assistant, `s` system; weights of the assistants in order."""
    names = {"s": Role.SYSTEM, "u": Role.USER, "a": Role.ASSISTANT}
    left = list(weights)
    return [
        Message(names[r], "x", weight=left.pop(0) if r == "a" and left else None) for r in roles
    ]


def write(messages: Sequence[Message]) -> list[int]:
    ids = [9]
    for message in messages:
        ids += [NUMBERS[message.role], *([END] if message.role is Role.ASSISTANT else [])]
    return ids


STEADY = Writer(write, write, frozenset({END}), writes_call_ids=False)


def moving(messages: Sequence[Message]) -> list[int]:
    """Writes an 8 before the last user message, as Mistral's v3 writes tools."""
    users = [at for at, m in enumerate(messages) if m.role is Role.USER]
    ids = [9]
    for at, message in enumerate(messages):
        ids += [8] if users and at == users[-1] else []
        ids += [NUMBERS[message.role], *([END] if message.role is Role.ASSISTANT else [])]
    return ids


MOVING = Writer(moving, moving, frozenset({END}), writes_call_ids=False)


def masked(rendered: Rendered) -> str:
    return "".join("x" if trained else "." for trained in rendered.mask)


def test_a_turn_is_a_run_of_answers_wanted_when_none_has_weight_0():
    assert turns(chat(*"suaua", weights=[None, 0])) == [Turn(2, 3, True), Turn(4, 5, False)]
    assert turns(chat(*"uaa", weights=[1, 0])) == [Turn(1, 3, False)]
    assert turns(chat(*"au")) == [Turn(0, 1, True)]
    assert turns([]) == []


def test_a_steady_format_trains_all_turns_in_one_sequence():
    messages = chat(*"uaua")

    assert masked(sequence(messages, write(messages), STEADY)) == "..xx.xx"
    assert [masked(sample) for sample in samples(messages, STEADY)] == ["..xx.xx"]


def test_a_format_that_moves_things_masks_early_turns_and_unrolls_them():
    messages = chat(*"uauaua")

    assert masked(sequence(messages, moving(messages), MOVING)) == ".........xx"
    assert samples(messages, MOVING) == [
        sequence(messages, moving(messages), MOVING),
        sequence(messages[:4], moving(messages[:4]), MOVING),
        sequence(messages[:2], moving(messages[:2]), MOVING),
    ]
    assert [masked(sample) for sample in samples(messages, MOVING)] == [
        ".........xx",
        "......xx",
        "...xx",
    ]


def test_masked_turns_cost_no_sample():
    messages = chat(*"uauaua", weights=[0, 1, 0])

    assert [masked(sample) for sample in samples(messages, MOVING)] == ["......xx"]
    assert samples(chat(*"uaua", weights=[0, 0]), MOVING) == []


def test_an_answer_that_opens_the_conversation_is_masked():
    messages = chat(*"aua")

    assert [masked(sample) for sample in samples(messages, STEADY)] == ["....xx"]


def test_calls_with_ids_are_trained_apart_and_without_them():
    shown: list[Message] = []

    def whole(messages: Sequence[Message]) -> list[int]:
        shown[:] = messages
        return write(messages)

    call = Message(Role.ASSISTANT, tool_calls=(ToolCall("abcdefghi", "f", "{}"),))
    messages = [
        Message(Role.USER, "q"),
        call,
        Message(Role.TOOL, "r"),
        Message(Role.ASSISTANT, "a"),
    ]
    writer = Writer(write, whole, frozenset({END}), writes_call_ids=True)

    assert [masked(sample) for sample in samples(messages, writer)] == [".....xx", "..xx"]
    assert shown[-1].tool_calls[0].id is None


def test_a_format_whose_answers_are_not_behind_their_prompts_is_refused():
    writer = Writer(lambda messages: [7], write, frozenset({END}), writes_call_ids=False)

    with pytest.raises(InvalidInput, match=r"messages\[1\].*cannot be trained"):
        samples(chat(*"ua"), writer)
    assert sequence(chat(*"ua"), write(chat(*"ua")), writer).n_trained == 0


def test_an_answer_without_an_end_is_not_trained():
    writer = Writer(write, write, frozenset({77}), writes_call_ids=False)

    with pytest.raises(InvalidInput, match="cannot be trained"):
        samples(chat(*"ua"), writer)


def test_text_is_cut_into_pieces_that_open_alike():
    pieces = text_samples([1, 10, 11, 12, 13, 14, 2], bos_id=1, max_length=3)

    assert [piece.ids for piece in pieces] == [[1, 10, 11], [1, 12, 13], [1, 14, 2]]
    assert all(masked(piece) == ".xx" for piece in pieces)
    assert text_samples([1], bos_id=1, max_length=None) == []
