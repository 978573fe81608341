from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modiste.prepare.over_length import OverLength, cut, exchanges, pieces
from modiste.types import Example, Message, Role, SampleType, ToolCall

S, U, A = Role.SYSTEM, Role.USER, Role.ASSISTANT


def chat(*said: tuple[Role, str], **more) -> Example:
    return Example(3, SampleType.INSTRUCT, tuple(Message(*m) for m in said), **more)


LONG = chat((S, "be brief"), *[(role, f"{role} {n} " * 8) for n in range(6) for role in (U, A)])


def test_a_row_that_fits_is_left_whole(tiny):
    for wish in OverLength:
        found = cut(LONG, tiny, max_length=4_096, over_length=wish)
        assert found.samples == tiny.training_samples(LONG)
        assert found.n_pieces == 1


def test_a_long_row_is_refused_unless_asked_otherwise(tiny):
    found = cut(LONG, tiny, max_length=128, over_length=OverLength.REFUSE)

    assert found.longest > 128
    assert found.samples == tiny.training_samples(LONG)


def test_pieces_are_whole_exchanges_behind_the_system_prompt(tiny):
    found = cut(LONG, tiny, max_length=128, over_length=OverLength.SPLIT)

    assert found.n_pieces > 1
    assert found.longest <= 128
    for sample in found.samples:
        text = tiny.decode(sample.ids)
        assert text.startswith("be brief")
        assert text.count("user") % 8 == text.count("assistant") % 8 == 0


def test_every_answer_is_trained_once(tiny):
    found = cut(LONG, tiny, max_length=128, over_length=OverLength.SPLIT)

    def trained(samples):
        return [i for s in samples for i, m in zip(s.ids, s.mask, strict=True) if m]

    assert trained(found.samples) == trained(tiny.training_samples(LONG))


def test_an_exchange_that_is_too_long_by_itself_stays_too_long(tiny):
    found = cut(chat((U, "q " * 300), (A, "a")), tiny, max_length=64, over_length=OverLength.SPLIT)

    assert (found.n_pieces, found.longest > 64) == (1, True)


def test_calls_stay_with_their_results():
    messages = [
        Message(U, "q"),
        Message(A, tool_calls=(ToolCall("a", "f", "{}"),)),
        Message(Role.TOOL, "r", tool_call_id="a"),
        Message(A, "a"),
        Message(U, "again"),
        Message(A, "a"),
    ]

    assert [len(part) for part in exchanges(messages)] == [4, 2]


@given(
    st.lists(st.sampled_from([S, U, A]), min_size=1, max_size=12).map(lambda roles: [*roles, A]),
    st.integers(1, 6),
)
@settings(deadline=None)
def test_pieces_hold_every_message_once_and_end_with_an_answer(roles, room):
    example = chat(*[(role, str(n)) for n, role in enumerate(roles)])
    found = pieces(example, lambda part: len(part.messages) <= room)

    opening = 0
    while example.messages[opening].role is S:
        opening += 1
    rest = [m for part in found for m in part.messages[opening:]]
    assert rest == list(example.messages[opening:])
    assert all(part.messages[:opening] == example.messages[:opening] for part in found)
    assert all(part.messages[-1].role is A for part in found)


@pytest.mark.parametrize("wish", OverLength)
def test_plain_text_is_cut_by_the_renderer(tiny, wish):
    text = Example(1, SampleType.PRETRAIN, text="word " * 200)

    found = cut(text, tiny, max_length=64, over_length=wish)

    assert found.longest == 64
