"""How each kind of base is found to write calls and thoughts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from modiste.prepare import render
from modiste.prepare.answer import AnswerReader
from modiste.prepare.calls import Call
from modiste.prepare.manner import CallStyle, Effort, Thinking
from modiste.types import Message, Role, ToolCall

HEAD = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"
TAIL = (
    "{{ eos_token }}\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def template(call: str, between: str = "") -> str:
    calls = "{% for c in m.tool_calls or [] %}{% if not loop.first %}" + between + "{% endif %}"
    return f"{HEAD}{calls}{call}{{% endfor %}}{TAIL}"


NAME, ARGUMENTS = "{{ c.function.name }}", "{{ c.function.arguments | tojson }}"
HERMES = template(f'\n<tool_call>\n{{"name": "{NAME}", "arguments": {ARGUMENTS}}}\n</tool_call>')
LLAMA = template(f'{{"name": "{NAME}", "parameters": {ARGUMENTS}}}', "; ")
MISTRAL = template(f"[TOOL_CALLS]{NAME}[ARGS]{ARGUMENTS}")
CODER = template(f"<function={NAME}>{ARGUMENTS}</function>")
MUTE = f"{HEAD}{TAIL}"
THINKS_FIRST = HERMES.replace("assistant\n{% endif %}", "assistant\n<think>\n{% endif %}")
TEMPLATES = {
    "hermes": (HERMES, CallStyle.TAGGED),
    "llama": (LLAMA, CallStyle.BARE),
    "mistral": (MISTRAL, CallStyle.NAMED),
    "coder": (CODER, None),
    "mute": (MUTE, None),
}


@pytest.fixture(scope="module")
def base(
    tmp_path_factory: pytest.TempPathFactory, tiny_dir: Path
) -> Callable[..., render.Renderer]:
    def make(source: str, *, plain: tuple[str, ...] = ()) -> render.Renderer:
        folder = tmp_path_factory.mktemp("base")
        shutil.copy(tiny_dir / "tokenizer_config.json", folder)
        definition = json.loads((tiny_dir / "tokenizer.json").read_text())
        like = definition["added_tokens"][-1]
        size = len(definition["model"]["vocab"])
        controls = ("<|im_start|>", "[ARGS]", "[CALL_ID]")
        for at, name in enumerate([*controls, *plain]):
            token = {"content": name, "id": size + at, "special": name in controls}
            definition["added_tokens"].append({**like, **token})
        (folder / "tokenizer.json").write_text(json.dumps(definition))
        (folder / "chat_template.jinja").write_text(source)
        return render.load(folder)

    return make


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_tells_its_style_by_writing_a_call(
    base: Callable[..., render.Renderer], name: str
) -> None:
    source, style = TEMPLATES[name]
    assert base(source).manner.calls is style


def test_the_shipped_base_writes_lists_behind_a_token(tiny: render.Renderer) -> None:
    assert tiny.manner.calls is CallStyle.LIST
    assert [tiny.token_name(i) for i in tiny.manner.control.values()] == ["[TOOL_CALLS]"]
    assert tiny.manner.thinking is None


def test_every_version_of_mistral_has_its_style(pair) -> None:
    manner, version = pair.ours.manner, pair.version
    style = None if version == 1 else CallStyle.LIST if version < 11 else CallStyle.NAMED
    assert manner.calls is style
    thinking = Thinking("[THINK]", "[/THINK]") if version >= 13 else None
    assert manner.thinking == thinking
    assert ("[ARGS]" in manner.control) == (style is CallStyle.NAMED)


CALLS = (ToolCall("a1B2c3D4e", "f", '{"a": [1, "ä\\n"]}'), ToolCall("f5G6h7I8j", "g", "{}"))
ASKED = Message(Role.USER, "do")


def read_back(renderer: render.Renderer, answer: Message) -> list[tuple[str, str]]:
    """The calls that an answer's own tokens, as they are trained, are read as."""
    prompt = renderer.prompt([ASKED])
    (sample,) = renderer.training_samples(_example(answer))
    assert sample.ids[: len(prompt)] == prompt
    decoder = renderer.answer_decoder(tools=True)
    reader = AnswerReader(renderer.manner, tools=True)
    parts = [p for token in sample.ids[len(prompt) :] for p in reader.push(decoder.push(token))]
    parts += [*reader.push(decoder.flush()), *reader.flush()]
    assert all(isinstance(part, Call) for part in parts), parts
    return [(part.name, part.arguments) for part in parts if isinstance(part, Call)]


def _example(answer: Message):
    from modiste.types import Example, SampleType

    return Example(1, SampleType.INSTRUCT, (ASKED, answer))


def test_what_mistrals_encoders_write_is_read_as_the_same_calls(pair) -> None:
    if pair.version == 1:
        assert not pair.ours.rules.tools
        return
    told = read_back(pair.ours, Message(Role.ASSISTANT, tool_calls=CALLS))
    assert told == [(call.name, call.arguments) for call in CALLS]


@pytest.mark.parametrize("name", ["hermes", "llama", "mistral"])
def test_what_templates_write_is_read_as_the_same_calls(
    base: Callable[..., render.Renderer], name: str
) -> None:
    told = read_back(base(TEMPLATES[name][0]), Message(Role.ASSISTANT, tool_calls=CALLS))
    assert told == [(call.name, call.arguments) for call in CALLS]


def test_thoughts_are_known_where_template_and_vocabulary_have_their_marks(
    base: Callable[..., render.Renderer],
) -> None:
    marks = ("<think>", "</think>")
    thinking = base(THINKS_FIRST, plain=marks)
    assert thinking.manner.thinking == Thinking(*marks)
    assert set(thinking.manner.single) >= set(marks)
    assert thinking.opens_thought(thinking.prompt([ASKED]))
    assert base(THINKS_FIRST).manner.thinking is None
    assert base(HERMES, plain=marks).manner.thinking is None


def test_a_thought_that_a_user_opens_is_not_the_models(
    base: Callable[..., render.Renderer],
) -> None:
    renderer = base(THINKS_FIRST.replace("<think>\n{% endif %}", "{% endif %}{# <think> #}"),
                    plain=("<think>", "</think>"))  # fmt: skip
    assert renderer.manner.thinking is not None
    assert not renderer.opens_thought(renderer.prompt([Message(Role.USER, "<think>")]))


def test_thoughts_of_earlier_turns_are_written_as_mistrals_encoder_does(pair) -> None:
    if pair.ours.manner.thinking is None:
        return
    from mistral_common.protocol.instruct import messages as mc
    from mistral_common.protocol.instruct.chunk import TextChunk, ThinkChunk

    said = Message(Role.ASSISTANT, "It is.", thought="so")
    ids = pair.ours.prompt([ASKED, said, Message(Role.USER, "and?")])
    theirs = mc.AssistantMessage(
        content=[ThinkChunk(thinking="so"), TextChunk(text="It is.")], prefix=False
    )
    encoded = list(pair.theirs.instruct_tokenizer.encode_assistant_message(theirs, True))
    begin = pair.ours.manner.control["[THINK]"]
    at = ids.index(begin)
    assert ids[at : at + len(encoded)] == encoded
    assert not pair.ours.opens_thought(ids)


def test_how_much_to_think_can_be_told_where_the_tokenizer_says_so(pair) -> None:
    efforts = pair.ours.manner.efforts
    assert efforts == ({Effort.NONE, Effort.HIGH} if pair.version == 15 else frozenset())
    if efforts:
        plain, high, none = (
            pair.ours.prompt([ASKED], effort=effort) for effort in (None, Effort.HIGH, Effort.NONE)
        )
        assert plain == none != high


SWITCHED = THINKS_FIRST.replace(
    "assistant\n<think>\n{% endif %}",
    "assistant\n{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>"
    "\n\n{% endif %}{% endif %}",
)


def test_a_template_with_a_switch_turns_thoughts_off(
    base: Callable[..., render.Renderer],
) -> None:
    source = SWITCHED.replace("{{ m.content }}", "{{ m.reasoning_content }}{{ m.content }}")
    renderer = base(source, plain=("<think>", "</think>"))
    assert renderer.manner.efforts == {Effort.NONE, Effort.HIGH}
    off, on, plain = (
        renderer.prompt([ASKED], effort=effort) for effort in (Effort.NONE, Effort.HIGH, None)
    )
    assert on == plain
    assert renderer.decode(off[len(on) :]) == "<think>\n\n</think>\n\n"
    said = Message(Role.ASSISTANT, "It is.", thought="so")
    assert "soIt is." in renderer.decode(renderer.prompt([ASKED, said, ASKED]))
