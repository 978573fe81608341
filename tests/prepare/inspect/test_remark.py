"""Passages of a row, and how private text is shown."""

from hypothesis import given
from hypothesis import strategies as st

from modiste.prepare.inspect.remark import brief, mask, passages
from modiste.types import Example, Message, Role, SampleType, ToolCall


def test_every_text_of_a_chat_is_a_passage_with_its_path() -> None:
    call = ToolCall("abc123456", "weather", '{"city": "Paris"}')
    row = Example(
        1,
        SampleType.INSTRUCT,
        (
            Message(Role.USER, "Weather?"),
            Message(Role.ASSISTANT, None, (call,)),
            Message(Role.TOOL, "20", tool_call_id="abc123456"),
            Message(Role.ASSISTANT, "Warm.", weight=0),
        ),
    )
    assert [(p.path, p.text, p.learned) for p in passages(row)] == [
        ("messages[0].content", "Weather?", False),
        ("messages[1].tool_calls[0].function.arguments", '{"city": "Paris"}', True),
        ("messages[2].content", "20", False),
        ("messages[3].content", "Warm.", False),
    ]


def test_plain_text_is_learned_and_a_classifiers_input_is_not() -> None:
    text = Example(1, SampleType.PRETRAIN, text="Once.")
    labelled = Example(1, SampleType.CLASSIFIER, text="Once.", labels={"label": ("a",)})
    assert [p.learned for row in (text, labelled) for p in passages(row)] == [True, False]


def test_of_a_pair_only_the_preferred_answer_is_learned() -> None:
    row = Example(
        1,
        SampleType.PREFERENCE,
        (Message(Role.USER, "Hi"),),
        chosen=(Message(Role.ASSISTANT, "Hello"),),
        rejected=(Message(Role.ASSISTANT, "What"),),
    )
    assert [(p.path, p.learned) for p in passages(row)] == [
        ("messages[0].content", False),
        ("chosen[0].content", True),
        ("rejected[0].content", False),
    ]


def test_a_mask_shows_the_first_four_and_last_two() -> None:
    assert mask("4111111111111111") == "4111…11"
    assert mask("jane@x.org") == "j…"


@given(st.text(min_size=1, max_size=60))
def test_a_mask_never_shows_half_of_what_it_hides(text: str) -> None:
    assert len(mask(text).replace("…", "")) <= len(text) / 2


@given(st.text())
def test_what_is_brief_is_short_and_on_one_line(text: str) -> None:
    shown = brief(text)
    assert len(shown) <= 60
    assert len(shown.splitlines()) <= 1
