"""Mistral's formats: the same ids as mistral-common, and masks that can be read off a page."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modiste.errors import BadRequest, InvalidInput
from modiste.prepare.conversation import Use, violations
from modiste.prepare.render_mistral import MistralRenderer
from modiste.types import Example, Message, Role, SampleType, ToolCall

SYSTEM, USER, ASSISTANT, TOOL_ROLE = Role.SYSTEM, Role.USER, Role.ASSISTANT, Role.TOOL
RANDOM = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def drawn(data, pair, conversations, *, weights=True):
    return data.draw(
        conversations(
            tools=pair.version > 1, weights=weights, results=1 if pair.version == 2 else 2
        )
    )


def trained_text(pair, rendered):
    return [pair.ours.decode(part) for part in trained_parts(rendered)]


def trained_parts(rendered):
    parts: list[list[int]] = []
    before = False
    for token, trained in zip(*rendered, strict=True):
        if trained:
            parts = parts if before else [*parts, []]
            parts[-1].append(token)
        before = trained
    return parts


@given(data=st.data())
@RANDOM
def test_training_ids_are_those_of_encode_chat_completion(pair, conversations, tool, data):
    messages = drawn(data, pair, conversations)
    tools = [tool] if pair.version > 1 and data.draw(st.booleans()) else []
    example = Example(1, SampleType.INSTRUCT, messages, tools=tuple(tools))

    assert pair.ours.training(example).ids == pair.reference_ids(messages, tools)


@given(data=st.data())
@RANDOM
def test_every_trained_turn_stands_behind_the_prompt_that_asks_for_it(
    pair, conversations, tool, data
):
    messages = drawn(data, pair, conversations)
    tools = [tool] if pair.version > 1 and data.draw(st.booleans()) else []
    example = Example(1, SampleType.INSTRUCT, messages, tools=tuple(tools))
    prompts = [
        pair.ours.prompt(messages[:at], tools=tools)
        for at, message in enumerate(messages)
        if at and message.role is ASSISTANT and messages[at - 1].role is not ASSISTANT
    ]

    for rendered in [pair.ours.training(example), *pair.ours.training_samples(example)]:
        starts = [
            at for at in range(1, len(rendered.ids)) if rendered.mask[at] > rendered.mask[at - 1]
        ]
        assert all(rendered.ids[:start] in prompts for start in starts)
        ends = [i for i, m in zip(*rendered, strict=True) if m and i in pair.ours.stop_ids]
        assert len(ends) == len(starts)


@given(data=st.data())
@RANDOM
def test_unrolled_samples_train_every_wanted_turn_exactly_once(pair, conversations, tool, data):
    messages = drawn(data, pair, conversations, weights=False)
    tools = [tool] if pair.version > 1 else []
    example = Example(1, SampleType.INSTRUCT, messages, tools=tuple(tools))
    n_turns = sum(
        message.role is ASSISTANT and messages[at - 1].role is not ASSISTANT
        for at, message in enumerate(messages)
        if at
    )

    samples = pair.ours.training_samples(example)

    ends = [i for s in samples for i, m in zip(*s, strict=True) if m and i in pair.ours.stop_ids]
    assert len(ends) == n_turns


@given(text=st.text(st.characters(exclude_categories=["Cs"])))
@RANDOM
def test_text_survives_encoding_and_decoding(pair, text):
    spelt = text.replace("▁", " ") if pair.ours._strip_first_space else text

    assert pair.ours.decode(pair.ours.encode(text)) == spelt


@given(data=st.data(), text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
@RANDOM
def test_a_stream_of_any_pieces_is_the_whole_text(pair, data, text):
    ids = pair.ours.encode(text)
    stream, pieces = pair.ours.stream_decoder(), ""
    while ids:
        size = data.draw(st.integers(1, len(ids)))
        pieces += stream.push(ids[:size])
        ids = ids[size:]

    assert pieces + stream.flush() == pair.ours.decode(pair.ours.encode(text))


@given(
    text=st.text(st.characters(exclude_categories=["Cs"]))
    | st.lists(
        st.sampled_from(["<s>", "</s>", "[INST]", "[/INST]", "[TOOL_CALLS]", "[", "s>"])
    ).map("".join)
)
@RANDOM
def test_text_never_holds_control_tokens(pair, text):
    ids = pair.ours.encode(text)

    assert not set(ids) & set(pair.theirs.instruct_tokenizer.tokenizer.special_ids)


def test_mistral_v3_moves_the_system_prompt_so_a_chat_becomes_one_sample_per_user_turn(v3, example):
    row = example(
        Message(SYSTEM, "Be brief"),
        Message(USER, "q1"),
        Message(ASSISTANT, "a1"),
        Message(USER, "q2"),
        Message(ASSISTANT, "a2"),
    )

    whole = v3.ours.training(row)
    late, early = v3.ours.training_samples(row)

    assert spelt(v3, whole.ids) == "<s>[INST]▁q1[/INST]▁a1</s>[INST]▁Be▁brief\n\nq2[/INST]▁a2</s>"
    assert trained_text(v3, whole) == ["a2"], "a1 would be trained without the system prompt"
    assert late == whole
    assert spelt(v3, early.ids) == "<s>[INST]▁Be▁brief\n\nq1[/INST]▁a1</s>"
    assert trained_text(v3, early) == ["a1"]


def test_mistral_v7_keeps_the_system_prompt_in_front_so_one_sample_trains_every_turn(v7, example):
    row = example(
        Message(SYSTEM, "Be brief"),
        Message(USER, "q1"),
        Message(ASSISTANT, "a1"),
        Message(USER, "q2"),
        Message(ASSISTANT, "a2"),
    )

    (sample,) = v7.ours.training_samples(row)

    assert spelt(v7, sample.ids) == (
        "<s>[SYSTEM_PROMPT]▁Be▁brief[/SYSTEM_PROMPT][INST]▁q1[/INST]▁a1</s>[INST]▁q2[/INST]▁a2</s>"
    )
    assert [spelt(v7, part) for part in trained_parts(sample)] == ["▁a1</s>", "▁a2</s>"]
    assert sample == v7.ours.training(row)


def test_a_turn_of_weight_0_is_masked(v7, example):
    row = example(
        Message(USER, "q1"),
        Message(ASSISTANT, "wrong", weight=0),
        Message(USER, "q2"),
        Message(ASSISTANT, "right", weight=1),
    )

    (sample,) = v7.ours.training_samples(row)

    assert [spelt(v7, part) for part in trained_parts(sample)] == ["▁right</s>"]


def test_nothing_after_the_last_wanted_turn_is_kept_in_a_sample(v7, example):
    row = example(
        Message(USER, "q1"),
        Message(ASSISTANT, "right"),
        Message(USER, "q2"),
        Message(ASSISTANT, "wrong", weight=0),
    )

    (sample,) = v7.ours.training_samples(row)

    assert spelt(v7, sample.ids) == "<s>[INST]▁q1[/INST]▁right</s>"


def test_a_row_of_weight_0_gives_no_samples(v7, example):
    row = example(Message(USER, "q"), Message(ASSISTANT, "a", weight=0))

    assert v7.ours.training_samples(row) == []
    assert v7.ours.training(row).n_trained == 0


def test_tool_calls_and_answers_are_trained_but_results_and_random_ids_are_not(v3, example, tool):
    row = example(
        Message(USER, "where is 7?"),
        Message(ASSISTANT, tool_calls=(ToolCall("abcdefghi", "lookup", '{"order":"7"}'),)),
        Message(TOOL_ROLE, "on its way", tool_call_id="abcdefghi"),
        Message(ASSISTANT, "On its way."),
        tools=[tool],
    )

    answer, call = v3.ours.training_samples(row)

    assert [spelt(v3, part) for part in trained_parts(answer)] == ["▁On▁its▁way.</s>"]
    assert '"id":▁"abcdefghi"' in spelt(v3, answer.ids), "history keeps the id"
    assert [spelt(v3, part) for part in trained_parts(call)] == [
        '[TOOL_CALLS]▁[{"name":▁"lookup",▁"arguments":▁{"order":▁"7"}}]</s>'
    ]


def test_mistral_v2_drops_old_tool_calls_so_they_are_trained_apart(v2, example, tool):
    row = example(
        Message(USER, "where is 7?"),
        Message(ASSISTANT, tool_calls=(ToolCall(None, "lookup", "{}"),)),
        Message(TOOL_ROLE, "lost", name="lookup"),
        Message(ASSISTANT, "Lost."),
        Message(USER, "thanks"),
        Message(ASSISTANT, "Welcome."),
        tools=[tool],
    )

    whole = v2.ours.training(row)
    samples = v2.ours.training_samples(row)

    assert trained_text(v2, whole) == ["Welcome."]
    assert [trained_text(v2, sample)[-1].strip() for sample in samples] == ["Welcome.", "Lost."]
    assert "[TOOL_CALLS]" in spelt(v2, trained_parts(samples[1])[0])


def test_consecutive_answers_are_one_turn_and_need_one_weight(v7, example):
    same = example(Message(USER, "q"), Message(ASSISTANT, "a"), Message(ASSISTANT, "b"))
    mixed = example(
        Message(USER, "q"), Message(ASSISTANT, "a", weight=0), Message(ASSISTANT, "b", weight=1)
    )

    assert trained_text(v7, v7.ours.training_samples(same)[0]) == ["a\n\nb"]
    assert v7.ours.training_samples(mixed) == []


def test_an_answer_that_opens_the_conversation_is_not_trained(v7, example):
    row = example(Message(ASSISTANT, "Hello!"), Message(USER, "q"), Message(ASSISTANT, "a"))

    (sample,) = v7.ours.training_samples(row)

    assert trained_text(v7, sample) == ["a"]


def test_plain_text_is_trained_but_for_its_first_token(v3):
    row = Example(1, SampleType.PRETRAIN, text="one two three")

    rendered = v3.ours.training(row)

    assert spelt(v3, rendered.ids) == "<s>▁one▁two▁three</s>"
    assert rendered.mask == [False] + [True] * (len(rendered.ids) - 1)
    assert v3.ours.training_samples(row) == [rendered]


def test_long_plain_text_is_cut_into_pieces_that_lose_no_token(v3):
    row = Example(1, SampleType.PRETRAIN, text="word " * 100)
    whole = v3.ours.training(row).ids

    pieces = v3.ours.training_samples(row, max_length=16)

    assert all(len(piece.ids) <= 16 for piece in pieces)
    assert [i for piece in pieces for i in piece.ids[1:]] == whole[1:]
    assert all(piece.ids[0] == v3.ours.bos_id for piece in pieces)


def test_a_prefix_message_is_continued_without_an_end(v3):
    asked = [Message(USER, "q"), Message(ASSISTANT, "The answer", prefix=True)]

    assert spelt(v3, v3.ours.prompt(asked)) == "<s>[INST]▁q[/INST]▁The▁answer"


def test_the_space_after_a_prefix_belongs_to_the_answer(v3):
    is_42 = v3.ours.encode("is 42")

    assert v3.ours.stream_decoder(continuing=True).push(is_42) == " is 42"
    assert v3.ours.stream_decoder().push(is_42) == "is 42"


def test_a_safe_prompt_leads_the_system_prompt(v7):
    ids = v7.ours.prompt([Message(SYSTEM, "Be brief"), Message(USER, "q")], safe_prompt=True)
    alone = v7.ours.prompt([Message(USER, "q")], safe_prompt=True)

    assert "[SYSTEM_PROMPT]▁Always▁assist▁with▁care" in spelt(v7, ids)
    assert "positivity.\n\nBe▁brief[/SYSTEM_PROMPT]" in spelt(v7, ids)
    assert "positivity.[/SYSTEM_PROMPT]" in spelt(v7, alone)


@pytest.mark.parametrize(
    ("messages", "code", "text"),
    [
        ([], "invalid_request_message_order", "at least one message"),
        (
            [Message(USER, "q"), Message(ASSISTANT, "a")],
            "invalid_request_message_order",
            "Expected last role User or Tool (or Assistant with prefix True) for serving",
        ),
        (
            [Message(USER, "q"), Message(TOOL_ROLE, "r", tool_call_id="abcdefghi")],
            "invalid_request_message_order",
            "Unexpected role 'tool' after role 'user'",
        ),
        (
            [
                Message(USER, "q"),
                Message(ASSISTANT, tool_calls=(ToolCall("call_1", "f", "{}"),)),
                Message(TOOL_ROLE, "r", tool_call_id="call_1"),
            ],
            "invalid_function_call",
            "Tool call id was call_1 but must be a-z, A-Z, 0-9, with a length of 9.",
        ),
        ([Message(USER, None)], "invalid_request_invalid_args", "must have content"),
        ([Message(USER, "\ud800")], "invalid_request_invalid_args", "surrogate"),
    ],
)
def test_requests_are_refused_in_the_words_of_the_api(v3, messages, code, text):
    with pytest.raises(BadRequest) as refusal:
        v3.ours.prompt(messages)

    assert refusal.value.error_code == code
    assert text in refusal.value.message


def test_a_text_that_the_tokenizer_gives_up_on_is_refused(stand_in):
    tekken = MistralRenderer(stand_in("v7"))

    with pytest.raises(BadRequest, match="cannot read this text"):
        tekken.prompt([Message(USER, " " * 1_000_000)])


def test_a_row_that_breaks_the_rules_is_refused_with_all_it_breaks(v3, example):
    row = example(
        Message(USER, "q"),
        Message(ASSISTANT, "a", tool_calls=(ToolCall("short", "bad name", "{}"),)),
    )

    with pytest.raises(InvalidInput) as refusal:
        v3.ours.training(row)

    for part in ("but not both", "Tool call id was short", "Function name was bad name"):
        assert part in refusal.value.message


def test_a_file_that_is_no_tokenizer_is_refused_by_name(tmp_path: Path):
    broken = tmp_path / "tekken.json"
    broken.write_text('{"config": {"version": "v99"}}')

    with pytest.raises(InvalidInput, match=r"tekken\.json cannot be read as a Mistral tokenizer"):
        MistralRenderer(broken)


def test_the_fingerprint_is_the_same_for_the_same_file_only(v3, v7):
    again = MistralRenderer(Path(v3.theirs.instruct_tokenizer.tokenizer.file_path))

    assert again.fingerprint == v3.ours.fingerprint != v7.ours.fingerprint


@given(data=st.data())
@RANDOM
def test_what_trains_passes_the_rules_of_its_format(pair, conversations, data):
    messages = drawn(data, pair, conversations)

    assert violations(messages, rules=pair.ours.rules, use=Use.TRAINING) == []


def spelt(pair, ids):
    """The pieces of SentencePiece as they are; newlines as newlines."""
    tokenizer = pair.theirs.instruct_tokenizer.tokenizer
    return "".join(tokenizer.id_to_piece(i) for i in ids).replace("<0x0A>", "\n")


def test_every_control_token_is_named_as_its_vocabulary_names_it(pair):
    ids = pair.ours.prompt([Message(Role.USER, "hello")])
    silent = [i for i in ids if not pair.ours.decode([i]).strip() and pair.ours.token_name(i)]

    assert pair.ours.token_name(ids[0]) == "<s>"
    assert all(pair.theirs.instruct_tokenizer.tokenizer.is_special(i) for i in silent)
    assert any(pair.ours.token_name(i) is None for i in ids)
