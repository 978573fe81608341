"""Marks among the ids of an answer, whether they are tokens or text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from modiste.prepare.detokenize import StreamDecoder
from modiste.prepare.marks import Mark, MarkedDecoder, Piece

BYTES = [bytes([byte]) for byte in range(256)]
TOKEN = 256
"""A control token, spelt in no bytes."""
SPELT = ("</think>", "<think>", "<tool_call>")


def decoder(*, spelt: tuple[str, ...] = SPELT) -> MarkedDecoder:
    plain = StreamDecoder([*BYTES, b""], strip_first_space=False)
    return MarkedDecoder(plain, control={TOKEN: "[CALL]"}, spelt=spelt)


def pieces(ids: list[int], *, spelt: tuple[str, ...] = SPELT) -> list[Piece]:
    reading = decoder(spelt=spelt)
    told = [piece for token in ids for piece in reading.push(token)] + reading.flush()
    joined: list[Piece] = []
    for piece in told:
        if isinstance(piece, str) and joined and isinstance(joined[-1], str):
            joined[-1] += piece
        else:
            joined.append(piece)
    return joined


def test_tokens_and_spelt_marks_stand_between_texts() -> None:
    ids = [*b"a<think>b</think>c", TOKEN, *b"[CALL]"]
    begin, end = (Mark(name, spelt=True) for name in ("<think>", "</think>"))
    call = Mark("[CALL]", spelt=False)
    assert pieces(ids) == ["a", begin, "b", end, "c", call, "[CALL]"]


def test_what_may_become_a_mark_is_held_back_until_it_is_decided() -> None:
    reading = decoder()
    assert [reading.push(byte) for byte in b"x</th"] == [["x"], [], [], [], []]
    assert reading.held == "</th"
    assert reading.push(ord("e")) == ["</the"]
    assert reading.held == ""


def test_a_character_that_breaks_off_at_a_mark_is_said_to_be_broken() -> None:
    assert pieces([0xC3, TOKEN]) == ["\ufffd", Mark("[CALL]", spelt=False)]


PARTS = st.lists(st.sampled_from([*SPELT, "<", "<t", "think>", "ä", "x", "</"]), max_size=10)


@given(PARTS)
def test_nothing_is_lost_and_the_marks_are_those_of_the_whole_text(parts: list[str]) -> None:
    text = "".join(parts)
    told = pieces(list(text.encode()))
    assert "".join(p if isinstance(p, str) else p.name for p in told) == text
    found, rest = [], text
    while starts := [(rest.find(name), name) for name in SPELT if name in rest]:
        start, name = min(starts)
        found.append(name)
        rest = rest[start + len(name) :]
    assert [p.name for p in told if isinstance(p, Mark)] == found


@given(PARTS)
def test_without_marks_it_is_the_plain_decoder(parts: list[str]) -> None:
    text = "".join(parts)
    assert pieces(list(text.encode()), spelt=()) == ([text] if text else [])
