"""Conversations written in one go: the samples of the long way, mask and all."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modiste.prepare.straight import plan
from modiste.types import Example, Message, Role, SampleType, ToolCall

RANDOM = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20) | st.sampled_from(
    ["What is 2 + 2?", " trailing  ", "   ", "a\n\nb", "[INST] no [/INST]", "ß ▁ 日本"]
)


@st.composite
def plain_chats(draw):
    messages = [Message(Role.SYSTEM, draw(TEXT))] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 4))):
        messages.append(Message(Role.USER, draw(TEXT)))
        weight = draw(st.sampled_from([None, None, 0, 1]))
        messages.append(Message(Role.ASSISTANT, draw(TEXT), weight=weight))
    return Example(1, SampleType.INSTRUCT, tuple(messages))


@given(examples=st.lists(plain_chats(), min_size=1, max_size=5))
@RANDOM
def test_read_ahead_or_not_the_samples_are_the_same(pair, examples):
    pair.ours.read_ahead([])
    alone = [pair.ours.training_samples(example) for example in examples]

    pair.ours.read_ahead(examples)
    together = [pair.ours.training_samples(example) for example in examples]

    assert together == alone
    assert all(plan(example) for example in examples)


@given(data=st.data())
@RANDOM
def test_conversations_of_any_shape_are_the_same_too(pair, conversations, tool, data):
    drawn = [
        data.draw(conversations(tools=pair.version > 1, results=1 if pair.version == 2 else 2))
        for _ in range(3)
    ]
    tools = (tool,) if pair.version > 1 and data.draw(st.booleans()) else ()
    examples = [Example(1, SampleType.INSTRUCT, messages, tools=tools) for messages in drawn]
    alone = [pair.ours.training_samples(example) for example in examples]

    pair.ours.read_ahead(examples)

    assert [pair.ours.training_samples(example) for example in examples] == alone


def test_the_ids_are_those_of_mistral_common(pair):
    messages = (
        Message(Role.USER, "Who wrote Faust?"),
        Message(Role.ASSISTANT, "Goethe did."),
        Message(Role.USER, "When?"),
        Message(Role.ASSISTANT, "Part one appeared in 1808."),
    )
    example = Example(1, SampleType.INSTRUCT, messages)

    pair.ours.read_ahead([example])
    (sample,) = pair.ours.training_samples(example)

    assert sample.ids == pair.ours.training(example).ids == pair.reference_ids(messages)


def test_what_is_read_ahead_is_handed_out_once(v3, example):
    chat = example(Message(Role.USER, "hi"), Message(Role.ASSISTANT, "hello"))
    v3.ours.read_ahead([chat])
    first = v3.ours.training_samples(chat)
    first[0].ids.append(7)

    assert v3.ours.training_samples(chat)[0].ids == first[0].ids[:-1]


def test_a_text_the_tokenizer_gives_up_on_does_not_harm_its_neighbours(v3, example, monkeypatch):
    good = example(Message(Role.USER, "hi"), Message(Role.ASSISTANT, "hello"))
    expected = v3.ours.training_samples(good)

    def give_up(texts):
        raise ValueError("too many spaces")

    monkeypatch.setattr(v3.ours._straight.words, "write", give_up)
    v3.ours.read_ahead([good])

    assert v3.ours.training_samples(good) == expected


QUESTION, ANSWER = Message(Role.USER, "Why?"), Message(Role.ASSISTANT, "Because.")


@pytest.mark.parametrize(
    "messages",
    [
        (),
        (QUESTION,),
        (ANSWER, QUESTION),
        (QUESTION, QUESTION, ANSWER),
        (QUESTION, ANSWER, ANSWER),
        (QUESTION, replace(ANSWER, content="")),
        (QUESTION, replace(ANSWER, content=None)),
        (QUESTION, replace(ANSWER, content="\ud800")),
        (QUESTION, replace(ANSWER, weight=2)),
        (QUESTION, replace(ANSWER, prefix=True)),
        (QUESTION, replace(ANSWER, tool_calls=(ToolCall("123456789", "f", "{}"),))),
        (QUESTION, ANSWER, Message(Role.SYSTEM, "Be kind."), QUESTION, ANSWER),
        (Message(Role.SYSTEM, ""), QUESTION, ANSWER),
    ],
)
def test_what_is_not_plain_has_no_plan(messages):
    assert plan(Example(1, SampleType.INSTRUCT, messages)) is None


def test_tools_and_plain_text_have_no_plan(tool):
    assert plan(Example(1, SampleType.INSTRUCT, (QUESTION, ANSWER), tools=(tool,))) is None
    assert plan(Example(1, SampleType.PRETRAIN, text="A book.")) is None
