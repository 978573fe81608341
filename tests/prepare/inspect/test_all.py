"""All inspectors as the checks use them."""

from modiste.prepare.inspect.all import Ledger, inspect
from modiste.types import Example, Message, Role, SampleType


def chat(answer: str, question: str = "What is the capital of France?") -> Example:
    messages = (Message(Role.USER, question), Message(Role.ASSISTANT, answer))
    return Example(1, SampleType.INSTRUCT, messages)


def test_a_ledger_says_about_a_row_what_inspect_says() -> None:
    row = chat("Paris.<|im_end|>")
    assert Ledger().add(row) == inspect(row) != []


def test_an_inspector_can_be_left_out() -> None:
    assert Ledger(without={"special_tokens"}).add(chat("Paris.<|im_end|>")) == []
