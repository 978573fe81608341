from __future__ import annotations

import json

import pytest

from modiste.errors import BadRequest, InvalidInput
from modiste.prepare import chat_template
from modiste.prepare.chat_template import ChatTemplate, as_template_message
from modiste.types import Message, Role, ToolCall

ASK = [{"role": "user", "content": "q"}]


def rendered(source: str, *, messages=ASK, tools=(), answer_next=False, **others: str) -> str:
    template = ChatTemplate({"default": source, **others}, {"bos_token": "<s>"})
    return template.render(messages, tools=tools, answer_next=answer_next)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ bos_token }}{{ messages[0].content }}", "<s>q"),
        ("{{ messages[0] | tojson }}", '{"role": "user", "content": "q"}'),
        ("{{ {'é': '<'} | tojson(indent=1) }}", '{\n "é": "<"\n}'),
        ("{% for m in messages %}{% break %}{% endfor %}x", "x"),
        ("a{% generation %}{{ messages[0].content }}{% endgeneration %}b", "aqb"),
        ("  {% if true %}\nx\n  {% endif %}\n", "x\n"),
        ("{{ tools is none }}{{ add_generation_prompt }}", "TrueFalse"),
        ("{{ strftime_now('%Y') | length }}", "4"),
    ],
)
def test_templates_speak_the_dialect_of_transformers(source, text):
    assert rendered(source) == text


def test_the_template_for_tools_is_used_when_there_are_tools():
    assert rendered("plain", tool_use="with tools") == "plain"
    assert rendered("plain", tool_use="with tools", tools=[{}]) == "with tools"


@pytest.mark.parametrize(
    "source",
    [
        "{{ raise_exception('only one turn') }}",
        "{{ ''.__class__.__mro__ }}{{ messages.append(1) }}",
        "{{ messages[0].nothing.deeper }}",
        "{{ 1 / 0 }}",
        "{% for i in range(10000000) %}{% endfor %}",
    ],
)
def test_whatever_a_template_raises_is_a_refusal(source):
    with pytest.raises(BadRequest, match="The chat template of this base refuses"):
        rendered(source)


def test_a_template_that_is_no_jinja_is_refused_when_it_is_loaded():
    with pytest.raises(InvalidInput, match="default is not valid jinja"):
        ChatTemplate({"default": "{% if %}"}, {})


def test_a_file_of_its_own_wins_over_the_configuration(tmp_path):
    listed = [{"name": "default", "template": "old"}, {"name": "tool_use", "template": "tools"}]
    config = {"chat_template": listed, "bos_token": {"content": "<s>"}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    (tmp_path / "special_tokens_map.json").write_text('{"eos_token": "</s>"}')
    (tmp_path / "chat_template.jinja").write_text("new {{ bos_token }}{{ eos_token }}")

    template = chat_template.load(tmp_path)

    assert template is not None
    assert template.sources.keys() == {"default", "tool_use"}
    assert template.render(ASK, tools=(), answer_next=False) == "new <s></s>"


def test_a_folder_without_a_template_has_none(tmp_path):
    assert chat_template.load(tmp_path) is None


@pytest.mark.parametrize("content", ["{", "[1]"])
def test_a_broken_configuration_is_named(tmp_path, content):
    (tmp_path / "tokenizer_config.json").write_text(content)

    with pytest.raises(InvalidInput, match=r"tokenizer_config\.json"):
        chat_template.load(tmp_path)


def test_messages_show_arguments_as_objects_and_no_key_that_is_not_there():
    calls = (ToolCall("i", "f", '{"a": 1}'), ToolCall(None, "g", "not json"))

    shown = as_template_message(Message(Role.ASSISTANT, tool_calls=calls, weight=0))

    assert shown == {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {"id": "i", "type": "function", "function": {"name": "f", "arguments": {"a": 1}}},
            {"type": "function", "function": {"name": "g", "arguments": "not json"}},
        ],
    }
    assert as_template_message(Message(Role.TOOL, "r", tool_call_id="i", name="f")) == {
        "role": "tool",
        "content": "r",
        "tool_call_id": "i",
        "name": "f",
    }
