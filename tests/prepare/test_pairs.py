"""A preference pair becomes two chats that differ in their answer alone."""

from __future__ import annotations

from modiste.prepare.pairs import conversations
from modiste.types import Example, Message, Role, SampleType

QUESTION = (Message(Role.USER, "hi"), Message(Role.ASSISTANT, "yes?"), Message(Role.USER, "why?"))
GOOD, BAD = Message(Role.ASSISTANT, "because"), Message(Role.ASSISTANT, "dunno")
PAIR = Example(3, SampleType.PREFERENCE, QUESTION, chosen=(GOOD,), rejected=(BAD,))


def test_each_answer_stands_behind_the_whole_question():
    (chosen, preferred), (rejected, other) = conversations(PAIR)

    assert (chosen, rejected) == ("chosen", "rejected")
    assert [m.content for m in preferred.messages] == ["hi", "yes?", "why?", "because"]
    assert other.messages[:-1] == preferred.messages[:-1]
    assert other.messages[-1] == BAD
    assert preferred.sample_type is SampleType.INSTRUCT
    assert preferred.line == 3


def test_only_the_answers_are_trained(tiny):
    (_, preferred), _ = conversations(PAIR)

    (sample,) = tiny.training_samples(preferred)

    trained = [i for i, wanted in zip(*sample, strict=True) if wanted]
    assert tiny.decode(trained) == "because"


def test_other_rows_stay_as_they_are():
    chat = Example(1, SampleType.INSTRUCT, (*QUESTION, GOOD))

    assert conversations(chat) == [("", chat)]
