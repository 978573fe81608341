"""Texts encoded word by word: the tokenizer's own ids, whatever the text."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modiste.prepare import words as room
from modiste.prepare.words import Words

RANDOM = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
ANY = st.characters(exclude_categories=["Cs"])
ODD = st.sampled_from(
    [
        " ", "  ", "   ", "\n", "\r\n", "\t", "\n \n", "/", "//", "\n/", "...", "?!", "▁", "\xa0",
        "\u2003", "\u3000", "\x00", "\x1c", "\x85", "é", "Ж", "日本", "🙂", "\u0301", "\u200b",
        "[INST]", "[REFERENCE_DOC_3]", "</s>", "<0x0A>", "_", "12345", "camelCase", "HTML", "'s",
    ]
)  # fmt: skip
TEXTS = st.lists(
    st.text(ANY, max_size=30)
    | st.lists(ODD | st.sampled_from(["the", " word", ".", ","]), max_size=12).map("".join),
    max_size=8,
)


@cache
def words_of(pair) -> Words:
    if (
        pair.ours._straight is None
    ):  # v1 writes no straight conversations, its words are words nevertheless
        from modiste.prepare.render_mistral import _bare_encoder, _cuts

        cuts = _cuts(pair.ours._text)
        assert cuts is not None
        return Words(_bare_encoder(pair.ours._text), pair.ours.spelling, cuts)
    return pair.ours._straight.words


@given(texts=TEXTS)
@RANDOM
def test_ids_are_those_of_the_tokenizer(pair, texts):
    assert words_of(pair).encode_all(texts) == [pair.ours.encode(text) for text in texts]


def test_words_met_again_keep_their_ids(pair):
    words = words_of(pair)
    text = "She said: “It’s 12:30 — time for the well-deserved break!”\n\nAnd they left (again)."
    first = words.encode_all([text, text[5:], text])

    assert first == words.encode_all([text, text[5:], text])
    assert first[0] == pair.ours.encode(text)


@pytest.mark.parametrize("length", [6, 7, 8, 14, 15, 16, 17, 40, 300])
def test_words_of_any_length_are_told_apart(pair, length):
    texts = [f"so {'ab' * length}"[: length + 3], f"so {'ab' * length}"[: length + 2] + "c"]

    assert words_of(pair).encode_all(texts) == [pair.ours.encode(text) for text in texts]


def test_words_that_differ_in_trailing_zero_bytes_are_told_apart(pair):
    texts = ["a\x00", "a", "a\x00\x00", "a\x00\x00\x00\x00\x00\x00\x00"]

    assert words_of(pair).encode_all(texts) == [pair.ours.encode(text) for text in texts]


def test_a_full_table_is_emptied_and_learned_anew(v3, monkeypatch):
    monkeypatch.setattr(room, "MAX_WORDS", 100)
    words = Words(v3.ours.encode, v3.ours.spelling, v3.ours._straight.words._cuts)
    texts = [" ".join(f"w{at + step}x" for at in range(20)) for step in range(0, 200, 10)]

    found = [words.encode_all([text])[0] for text in texts]

    assert found == [v3.ours.encode(text) for text in texts]
    assert words._n_words <= 100


def test_long_lists_come_back_in_order(v3, monkeypatch):
    monkeypatch.setattr(room, "BATCH_BYTES", 500)
    texts = ["", "word " * 300, "", *(f"text number {at}, as long as others" for at in range(60))]

    found = words_of(v3).encode_all([*texts, ""])

    assert found == [v3.ours.encode(text) for text in [*texts, ""]]


@given(samples=st.lists(st.lists(st.text(ANY, max_size=8) | st.integers(0, 2), max_size=6)))
@RANDOM
def test_frames_stand_between_texts_and_their_ends_are_told(v3, samples):
    frames = [[1, 3], [], [2]]
    words = Words(v3.ours.encode, v3.ours.spelling, v3.ours._straight.words._cuts, frames)
    samples = [apart(sample) for sample in samples]

    for sample, (ids, ends) in zip(samples, words.write(samples), strict=True):
        expected: list[int] = []
        expected_ends = []
        for piece in sample:
            expected += frames[piece] if isinstance(piece, int) else v3.ours.encode(piece)
            expected_ends += [len(expected)] if isinstance(piece, int) else []
        assert (ids.tolist(), ends) == (expected, expected_ends)


def apart(sample):
    """No two texts side by side."""
    spaced = []
    for piece in sample:
        spaced += [2, piece] if isinstance(piece, str) else [piece]
    return spaced


def test_a_sample_with_more_words_than_the_table_is_refused(v3, monkeypatch):
    monkeypatch.setattr(room, "MAX_WORDS", 10)
    words = Words(v3.ours.encode, v3.ours.spelling, v3.ours._straight.words._cuts)

    with pytest.raises(ValueError, match="more words"):
        words.encode_all([" ".join(f"w{at}" for at in range(20))])


def test_half_a_surrogate_pair_is_refused_as_the_tokenizer_refuses_it(pair):
    with pytest.raises(UnicodeEncodeError):
        words_of(pair).encode_all(["fine", "\ud800"])
