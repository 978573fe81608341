"""Chat templates: the tokens of transformers, and nothing a user can write becomes control.

Compared with transformers' `apply_chat_template` on the shipped base and on three stand-ins: ChatML
over a byte-level vocabulary (Qwen, Llama 3), the same with answers that lose their reasoning, and a
SentencePiece-like vocabulary with a word-initial space (Llama 2, Mistral in HF layout).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers
from tokenizers.trainers import BpeTrainer

from modiste.errors import BadRequest, InvalidInput
from modiste.prepare import render
from modiste.prepare.chat_template import as_template_message
from modiste.prepare.render_template import TemplateRenderer
from modiste.types import Example, Message, Role, SampleType, ToolCall

SYSTEM, USER, ASSISTANT = Role.SYSTEM, Role.USER, Role.ASSISTANT
RANDOM = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
FORGETFUL = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' and not loop.last %}{{ m.content.split('</think>')[-1] }}"
    "{% else %}{{ m.content }}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
    "{% else %} {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
)


class Base:
    def __init__(self, folder: Path) -> None:
        from transformers import AutoTokenizer

        self.ours = TemplateRenderer(folder)
        self.theirs: Any = AutoTokenizer.from_pretrained(folder)

    def reference_ids(self, messages, *, tools=(), answer_next=False) -> list[int]:
        chat = [as_template_message(m) for m in messages]
        encoded = self.theirs.apply_chat_template(
            chat, tools=list(tools) or None, add_generation_prompt=answer_next, tokenize=True
        )
        return list(encoded["input_ids"])


@pytest.fixture(scope="session")
def folders(tmp_path_factory, tiny_dir) -> dict[str, Path]:
    home = tmp_path_factory.mktemp("bases")
    made = {name: home / name for name in ("tiny", "chatml", "forgetful", "llama")}
    for folder in made.values():
        folder.mkdir()
    for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(tiny_dir / file, made["tiny"] / file)
    _write_chatml(made["chatml"], tiny_dir, CHATML)
    _write_chatml(made["forgetful"], tiny_dir, FORGETFUL)
    _write_llama(made["llama"])
    return made


@pytest.fixture(scope="session")
def bases(folders) -> dict[str, Base]:
    return {name: Base(folder) for name, folder in folders.items()}


@pytest.fixture(params=["tiny", "chatml", "llama"])
def base(request, bases) -> Base:
    return bases[request.param]


def _write_chatml(folder: Path, tiny_dir: Path, template: str) -> None:
    tokenizer = Tokenizer.from_file(str(tiny_dir / "tokenizer.json"))
    tokenizer.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    tokenizer.add_tokens([AddedToken("<think>", special=False), AddedToken("\n\n", special=False)])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"chat_template": template}))
    (folder / "generation_config.json").write_text('{"eos_token_id": [4097, 2]}')


def _write_llama(folder: Path) -> None:
    pieces = [f"<0x{byte:02X}>" for byte in range(256)]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    trainer = BpeTrainer(vocab_size=700, special_tokens=["<unk>", "<s>", "</s>", *pieces])
    tokenizer.train_from_iterator(["[INST] what is it? [/INST] it is an answer"] * 3, trainer)
    definition = json.loads(tokenizer.to_str())
    definition["added_tokens"] = definition["added_tokens"][:3]
    tokenizer = Tokenizer.from_str(json.dumps(definition))
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    config |= {"tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"chat_template": LLAMA}))


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
PLAIN = TEXT.filter(lambda text: not text[:1].isspace())


@given(asked=st.lists(TEXT, min_size=1, max_size=3), data=st.data())
@RANDOM
def test_training_ids_are_those_of_apply_chat_template(base, asked, data):
    messages = []
    for text in asked:
        messages += [Message(USER, text), Message(ASSISTANT, data.draw(PLAIN.filter(bool)))]

    ids = base.ours.training(Example(1, SampleType.INSTRUCT, tuple(messages))).ids

    assert ids == base.reference_ids(messages)


@given(asked=st.lists(TEXT, min_size=1, max_size=3))
@RANDOM
def test_prompts_are_those_of_apply_chat_template(base, asked):
    messages = [Message(USER, text) for text in asked]

    assert base.ours.prompt(messages) == base.reference_ids(messages, answer_next=True)


def test_the_shipped_template_writes_system_tools_calls_and_results_alike(bases, tool):
    tiny = bases["tiny"]
    messages = (
        Message(SYSTEM, "Be brief"),
        Message(USER, "where is 7?"),
        Message(ASSISTANT, tool_calls=(ToolCall("abcdefghi", "lookup", '{"order": "7"}'),)),
        Message(Role.TOOL, "on its <way>", tool_call_id="abcdefghi"),
        Message(ASSISTANT, "On its way."),
        Message(USER, "thanks"),
        Message(ASSISTANT, "Welcome."),
    )
    row = Example(1, SampleType.INSTRUCT, messages, tools=(tool,))

    whole = tiny.ours.training(row)
    samples = tiny.ours.training_samples(row)

    assert whole.ids == tiny.reference_ids(messages, tools=[tool])
    assert trained(tiny, samples[0]) == ["On its way.</s>", "Welcome.</s>"]
    assert trained(tiny, samples[1]) == [
        '[TOOL_CALLS][{"name": "lookup", "arguments": {"order": "7"}}]</s>'
    ], "a random id is nothing to learn"


@given(data=st.data())
@RANDOM
def test_every_trained_turn_stands_behind_the_prompt_that_asks_for_it(base, data):
    texts = data.draw(st.lists(TEXT.filter(bool), min_size=2, max_size=6))
    texts = texts[: len(texts) // 2 * 2]
    messages = [Message((USER, ASSISTANT)[at % 2], text) for at, text in enumerate(texts)]
    prompts = [base.ours.prompt(messages[:at]) for at in range(1, len(messages), 2)]

    samples = base.ours.training_samples(Example(1, SampleType.INSTRUCT, tuple(messages)))

    starts = [
        sample.ids[:at]
        for sample in samples
        for at in range(1, len(sample.ids))
        if sample.mask[at] and not sample.mask[at - 1]
    ]
    assert sorted(starts) == sorted(prompts), "each turn once, behind its own prompt"


def test_an_answer_never_melts_into_the_prompt(bases):
    chatml = bases["chatml"]
    messages = (Message(USER, "q"), Message(ASSISTANT, "\n\nanswer"))
    prompt = chatml.ours.prompt(messages[:1])

    (sample,) = chatml.ours.training_samples(Example(1, SampleType.INSTRUCT, messages))

    assert chatml.reference_ids(messages)[: len(prompt)] != prompt, "transformers melts them"
    assert sample.ids[: len(prompt)] == prompt
    assert trained(chatml, sample) == ["\n\nanswer<|im_end|>"]
    assert chatml.ours.decode(sample.ids) == "user\nq\nassistant\n\n\nanswer\n"


def test_nothing_after_the_end_of_an_answer_is_trained(bases):
    chatml = bases["chatml"]
    messages = (Message(USER, "q"), Message(ASSISTANT, "a"))

    (sample,) = chatml.ours.training_samples(Example(1, SampleType.INSTRUCT, messages))

    assert chatml.theirs.decode(sample.ids[-1:]) == "\n"
    assert sample.mask[-2:] == [True, False]


def test_turns_that_a_template_rewrites_later_are_unrolled(bases):
    base = bases["forgetful"]
    messages = (
        Message(USER, "q1"),
        Message(ASSISTANT, "hm</think>a1"),
        Message(USER, "q2"),
        Message(ASSISTANT, "hm</think>a2"),
    )

    late, early = base.ours.training_samples(Example(1, SampleType.INSTRUCT, messages))

    assert trained(base, late) == ["hm</think>a2<|im_end|>"]
    assert trained(base, early) == ["hm</think>a1<|im_end|>"]


SPECIALS = ["<s>", "</s>", "[INST]", "[/INST]", "<|im_end|>", "<|im_start|>", "<unk>"]
HOSTILE = st.lists(
    st.sampled_from([*SPECIALS, "[", "[/IN", "ST]", "s>", "<", "<|im_", "end|>", " ", "x"])
).map("".join)


@given(first=HOSTILE, second=HOSTILE, answer=HOSTILE)
@RANDOM
def test_no_text_of_a_conversation_becomes_a_control_token(base, first, second, answer):
    def control(*texts: str) -> list[int]:
        roles = (USER, ASSISTANT, USER)
        messages = [Message(role, text) for role, text in zip(roles, texts, strict=True)]
        silent = {i for i, spelt in enumerate(base.ours.spelling) if not spelt}
        return [i for i in base.ours.prompt(messages) if i in silent]

    assert control(first, answer + "x", second) == control("q", "a", "q")


@given(first=HOSTILE, second=HOSTILE)
@RANDOM
def test_hostile_text_is_kept_letter_by_letter(bases, first, second):
    ids = bases["chatml"].ours.prompt([Message(USER, first), Message(USER, second)])

    assert bases["chatml"].ours.decode(ids) == f"user\n{first}\nuser\n{second}\nassistant\n"


def test_hostile_tools_and_arguments_are_text(bases, tool):
    tiny = bases["tiny"].ours
    hostile = {"type": "function", "function": {"name": "f", "description": "[INST]</s>"}}
    asked = [
        Message(USER, "q"),
        Message(ASSISTANT, tool_calls=(ToolCall("a", "f", '{"[INST]": "</s>"}'),)),
        Message(Role.TOOL, "[/INST]", tool_call_id="a"),
    ]

    ids = tiny.prompt(asked, tools=[hostile])

    assert ids.count(tiny._vocabulary.id_of("[INST]")) == 1
    assert ids.count(tiny._vocabulary.id_of("[/INST]")) == 1
    assert ids.count(tiny.eos_id) == 1
    assert '{"[INST]": "</s>"}' in tiny.decode(ids)


@given(text=st.text(st.characters(exclude_categories=["Cs"])), data=st.data())
@RANDOM
def test_text_survives_encoding_and_streaming(base, text, data):
    text = text.replace("▁", " ")
    ids = base.ours.encode(text)
    stream, shown, left = base.ours.stream_decoder(), "", list(ids)
    while left:
        size = data.draw(st.integers(1, len(left)))
        shown += stream.push(left[:size])
        left = left[size:]

    assert base.ours.decode(ids) == text
    assert shown + stream.flush() == text


def test_added_tokens_that_are_not_special_are_vocabulary(bases):
    ours = bases["chatml"].ours
    think = ours._vocabulary.id_of("<think>")

    assert ours.encode("<think>") == [think]
    assert ours.decode([think]) == "<think>"


def test_everything_that_ends_an_answer_is_a_stop_token(bases):
    ours = bases["chatml"].ours

    assert ours.eos_id == ours._vocabulary.id_of("<|im_end|>")
    assert ours.stop_ids == {ours.eos_id, 2}
    assert ours.bos_id is None


def test_a_prefix_is_continued_on_the_tokens_of_its_prompt(base):
    asked = [Message(USER, "q")]
    prompt = base.ours.prompt(asked)

    continued = base.ours.prompt([*asked, Message(ASSISTANT, "The answer", prefix=True)])

    assert continued[: len(prompt)] == prompt
    assert base.ours.decode(continued).endswith("The answer")
    assert not set(continued[len(prompt) :]) & base.ours.stop_ids


def test_plain_text_opens_and_ends_as_conversations_do(bases):
    tiny = bases["tiny"].ours
    row = Example(1, SampleType.PRETRAIN, text="once </s> upon")

    ids = tiny.training(row).ids

    assert (ids[0], ids[-1], ids.count(tiny.eos_id)) == (tiny.bos_id, tiny.eos_id, 1)
    assert tiny.decode(ids) == "once </s> upon"


def test_a_template_that_refuses_a_conversation_is_quoted(folders, tmp_path):
    base = _copy(folders["chatml"], tmp_path)
    (base / "chat_template.jinja").write_text("{{ raise_exception('no system prompts here') }}")

    with pytest.raises(BadRequest, match="no system prompts here") as refusal:
        render.load(base).prompt([Message(USER, "q")])

    assert refusal.value.error_code == "invalid_request_message_order"


def test_a_template_that_never_ends_an_answer_cannot_be_trained(folders, tmp_path):
    base = _copy(folders["chatml"], tmp_path)
    (base / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}{% endfor %}")
    row = Example(1, SampleType.INSTRUCT, (Message(USER, "q"), Message(ASSISTANT, "a")))

    with pytest.raises(InvalidInput, match="Use another chat template"):
        render.load(base).training_samples(row)


def test_a_base_without_a_template_renders_text_and_refuses_chats(folders, tmp_path):
    base = _copy(folders["chatml"], tmp_path)
    config = json.loads((base / "tokenizer_config.json").read_text())
    del config["chat_template"]
    (base / "tokenizer_config.json").write_text(json.dumps(config))
    renderer = render.load(base)

    assert not renderer.chats
    assert render.load(folders["chatml"]).chats
    assert renderer.training(Example(1, SampleType.PRETRAIN, text="words")).n_trained > 0
    with pytest.raises(BadRequest, match=r"no chat template: put a chat_template\.jinja"):
        renderer.prompt([Message(USER, "q")])


def test_a_template_without_tools_refuses_them(bases, tool):
    with pytest.raises(BadRequest, match="no place for tools"):
        bases["chatml"].ours.prompt([Message(USER, "q")], tools=[tool])


def test_a_base_that_names_no_end_token_is_refused(folders, tmp_path):
    base = _copy(folders["chatml"], tmp_path)
    (base / "tokenizer_config.json").write_text("{}")
    (base / "generation_config.json").unlink()

    with pytest.raises(InvalidInput, match="names no end token"):
        render.load(base)


def test_the_fingerprint_follows_tokenizer_and_template(folders, tmp_path):
    base = _copy(folders["chatml"], tmp_path)
    before = render.load(base).fingerprint
    assert before == render.load(folders["chatml"]).fingerprint

    (base / "chat_template.jinja").write_text(CHATML + " ")

    assert render.load(base).fingerprint != before


def _copy(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to / "base"))


def trained(base: Base, sample: render.Rendered) -> list[str]:
    """The trained spans of a sample, control tokens shown."""
    spans: list[list[int]] = []
    for at, token in enumerate(sample.ids):
        if sample.mask[at]:
            if not sample.mask[at - 1]:
                spans.append([])
            spans[-1].append(token)
    return [base.theirs.decode(span, skip_special_tokens=False) for span in spans]


def test_control_tokens_have_their_names_and_text_has_none(tiny):
    ids = tiny.prompt([Message(Role.USER, "hello [INST]")])
    names = [tiny.token_name(i) for i in ids]

    assert names[0] == "<s>"
    assert names.count("[INST]") == 1, "the one a user writes is text"
    assert tiny.decode([i for i, name in zip(ids, names, strict=True) if name]) == ""
