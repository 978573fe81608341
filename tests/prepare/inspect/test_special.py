"""Special tokens written out inside text."""

import pytest

from modiste.prepare.inspect.remark import Passage, passages
from modiste.prepare.inspect.special import inspector
from modiste.types import Example, Message, Role, SampleType

inspect = inspector()


def said(text: str, *own: str) -> list[str | None]:
    seen = [Passage("messages[0].content", text, Role.USER, False)]
    return [remark.value for remark in inspector(own)(seen)]


@pytest.mark.parametrize(
    "text",
    [
        "<|im_start|>user\nHi<|im_end|>",
        "[INST] Hi [/INST]",
        "Fine.</s>",
        "<s>Fine.",
        "<<SYS>>\nBe kind\n<</SYS>>",
        "Hello<|eot_id|>",
        "<start_of_turn>model",
        "done<|endoftext|>",
        "<｜User｜>Hi",
        '[TOOL_CALLS] [{"name": "f"}]',
        "[AVAILABLE_TOOLS] []",
    ],
)
def test_markers_of_every_common_template_are_found(text: str) -> None:
    assert len(said(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "if a < b and c > d: return [a]",
        "The price was <s>10</s> 8 euros.",
        "<|pipe|> operators in OCaml: x |> f",
        "[install] the package [1]",
        "SELECT a[1] FROM t WHERE b <> 2",
    ],
)
def test_code_html_and_brackets_are_no_special_tokens(text: str) -> None:
    assert said(text) == []


def test_a_renderers_own_tokens_are_found_too() -> None:
    assert said("answer ☃END☃", "☃END☃") == ["☃END☃"]


def test_the_remark_names_the_message_and_is_a_warning() -> None:
    row = Example(
        1,
        SampleType.INSTRUCT,
        (Message(Role.USER, "Hi"), Message(Role.ASSISTANT, "Hello<|im_end|>")),
    )
    (remark,) = inspect(passages(row))
    problem = remark.problem("train.jsonl", 7)
    assert problem.path == "messages[1].content"
    assert problem.code == "special_token_in_text"
    assert str(problem).startswith("train.jsonl line 7: messages[1].content holds the special")
    assert problem.severity == "warning"
