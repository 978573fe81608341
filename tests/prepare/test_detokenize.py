from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from modiste.prepare.detokenize import (
    StreamDecoder,
    byte_level_alphabet,
    decode,
    sentencepiece_bytes,
)

BYTES = [bytes([byte]) for byte in range(256)]


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_character_shows_when_its_last_byte_has_come_and_not_before(text):
    stream = StreamDecoder(BYTES, strip_first_space=False)
    shown = ""

    for byte in text.encode():
        shown += stream.push([byte])
        assert text.startswith(shown), "never a replacement character on the way"

    assert shown == text
    assert stream.flush() == ""


@given(st.binary())
def test_bytes_that_are_no_text_become_replacement_characters_however_they_arrive(data):
    stream = StreamDecoder(BYTES, strip_first_space=False)

    pieces = [stream.push([byte]) for byte in data]

    assert "".join(pieces) + stream.flush() == data.decode(errors="replace")
    assert decode(BYTES, list(data), strip_first_space=False) == data.decode(errors="replace")


def test_a_character_cut_off_by_the_end_is_told_by_flush():
    stream = StreamDecoder(BYTES, strip_first_space=False)

    assert stream.push(list("é".encode())[:1]) == ""
    assert stream.flush() == "\ufffd"


def test_control_tokens_and_unknown_ids_are_silent():
    assert decode([b"", b"a"], [0, 1, 0, 99, -1], strip_first_space=False) == "a"


def test_only_the_very_first_space_is_the_prefix_of_the_vocabulary():
    spelling = [b" a", b" ", b""]

    assert decode(spelling, [0, 0], strip_first_space=True) == "a a"
    assert decode(spelling, [1, 0], strip_first_space=True) == " a"
    assert decode(spelling, [2, 0], strip_first_space=True) == "a"


def test_the_byte_level_alphabet_is_a_bijection():
    alphabet = byte_level_alphabet()

    assert sorted(alphabet.values()) == list(range(256))
    assert alphabet["A"] == ord("A")
    assert alphabet["Ġ"] == ord(" ")
    assert alphabet["Ċ"] == ord("\n")


def test_sentencepiece_spells_spaces_and_bytes():
    assert sentencepiece_bytes("▁hi") == b" hi"
    assert sentencepiece_bytes("<0xE2>") == b"\xe2"
