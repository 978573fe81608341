"""Frames survive any cut, and a frame can say only what the protocol knows."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modiste.errors import InvalidInput
from modiste.serve import protocol
from modiste.serve.sequence import (
    Embed,
    Embedded,
    Failed,
    Finished,
    FinishReason,
    Generate,
    Grammar,
    GrammarKind,
    Logprob,
    Pooling,
    PromptLogprobs,
    Sampling,
    Score,
    Scored,
    Tokens,
)

REQUESTS = [
    Generate("a", "/base", (1, 2)),
    Generate(
        "b",
        "/base",
        (1,),
        adapter="/adapter",
        adapter_version="v1",
        stop_ids=frozenset({2, 3}),
        sampling=Sampling(
            temperature=0.0,
            top_p=0.5,
            max_tokens=7,
            seed=2**64 - 1,
            presence_penalty=-2.0,
            frequency_penalty=1.5,
            top_k=3,
            min_p=0.25,
            logit_bias={5: -100, 6: 0.5},
            logprobs=20,
        ),
        grammar=Grammar(GrammarKind.LARK, 'start: "é"', after=5, begun="ü"),
        prompt_logprobs=0,
        owner="key-1",
    ),
    Score("c", "/base", (5, 6, 7), adapter="/adapter", adapter_version=None, owner="key-2"),
    Embed("d", "/base", (5, 6), adapter="/adapter", adapter_version="v1", owner="key-3"),
    Embed("e", "/base", (5, 6), pooling=Pooling.LAST),
]
EVENTS = [
    Tokens("x", (4, 5)),
    Tokens("x", (4,), fingerprint="fp_1"),
    Tokens("x", (4, 5), (Logprob(-0.5, ((4, -0.5), (9, -1.25))), Logprob(-2.0))),
    PromptLogprobs("x", (Logprob(-0.1, ((1, -0.1),)), Logprob(-3.0, ()))),
    PromptLogprobs("x", ()),
    Finished("x", FinishReason.CANCELLED, 3, n_cached=64),
    Scored("x", (-0.123456789012345, -1e-9)),
    Embedded("x", (0.123456789012345, -1e-9)),
    Failed("x", "busy", "full", 1.5),
]


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda r: r.id)
def test_a_request_crosses_the_wire_unchanged(request_):
    frame = protocol.encode(protocol.request_to_wire(request_, 9))
    (message,) = protocol.Unframer().feed(frame)
    assert message["id"] == 9
    assert protocol.request_from_wire(message) == request_


@pytest.mark.parametrize("event", EVENTS, ids=lambda e: type(e).__name__)
def test_an_event_crosses_the_wire_unchanged(event):
    (message,) = protocol.Unframer().feed(protocol.encode(protocol.event_to_wire(event, 9)))
    assert protocol.ends(message) == isinstance(event, Finished | Scored | Embedded | Failed)
    assert protocol.event_from_wire(message, "x") == event


@given(st.lists(st.integers(min_value=1, max_value=40)))
def test_frames_arrive_whole_however_the_bytes_are_cut(cuts):
    messages = [{"op": "abort", "id": n, "text": "é" * n} for n in range(4)]
    data = b"".join(protocol.encode(message) for message in messages)
    unframer, seen = protocol.Unframer(), []
    for cut in [*cuts, len(data)]:
        seen += unframer.feed(data[:cut])
        data = data[cut:]
    assert seen == messages


def test_a_frame_that_claims_to_be_huge_is_refused_before_memory_is_taken():
    with pytest.raises(InvalidInput, match="over the limit"):
        list(protocol.Unframer().feed(struct.pack(">I", 2**31)))


@pytest.mark.parametrize("body", [b"\x80\x04K\x01.", b"[1]", b"{"])
def test_a_frame_that_is_not_a_json_object_is_refused(body):
    with pytest.raises(InvalidInput):
        protocol.decode(body)


@pytest.mark.parametrize(
    "change",
    [
        {"ids": ["1"]},
        {"ids": [True]},
        {"ids": 5},
        {"stop_ids": None},
        {"stop_ids": ["</s>"]},
        {"adapter_version": 5},
        {"sampling": {"warmth": 1}},
        {"sampling": {"seed": 1.5}},
        {"sampling": {"temperature": "hot"}},
        {"sampling": {"max_tokens": True}},
        {"sampling": {"logit_bias": 7}},
        {"sampling": {"logit_bias": [["5", 1.0]]}},
        {"sampling": {"top_k": 2.5}},
        {"prompt_logprobs": 21},
        {"grammar": {"kind": "bnf", "text": ""}},
        {"grammar": {"kind": "regex"}},
        {"grammar": {"kind": "regex", "text": 5}},
        {"grammar": {"kind": "regex", "text": "a", "after": "b"}},
        {"grammar": {"kind": "regex", "text": "a", "begun": 1}},
        {"grammar": "a*"},
    ],
)
def test_a_malformed_request_is_refused_with_its_field(change):
    message = protocol.request_to_wire(REQUESTS[0], 1) | change
    with pytest.raises(InvalidInput):
        protocol.request_from_wire(message)
