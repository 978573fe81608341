"""Words and their numbers, many at a time: a dict would say the same."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from modiste.prepare.word_table import LONGEST_KEY, Keys, WordTable, distinct, keys_of

WORD = st.binary(min_size=1, max_size=LONGEST_KEY)


def keys(words: list[bytes]) -> Keys:
    lengths = np.array([len(word) for word in words], dtype=np.int64)
    return keys_of(b"".join(words), np.cumsum(lengths) - lengths, lengths)


@given(words=st.lists(WORD, unique=True, min_size=1, max_size=40), strangers=st.lists(WORD))
@settings(deadline=None)
def test_words_are_found_under_their_numbers_and_strangers_are_not(words, strangers):
    table = WordTable(64)
    half = len(words) // 2
    numbers = np.arange(1, len(words) + 1)
    table.put(keys(words[:half]), numbers[:half])
    table.put(keys(words[half:]), numbers[half:])
    known = dict(zip(words, numbers.tolist(), strict=True))

    asked = [*strangers, *words]

    assert table.find(keys(asked)).tolist() == [known.get(word, 0) for word in asked]


def test_a_table_that_is_half_full_finds_all():
    words = [at.to_bytes(3, "big") for at in range(999)]
    table = WordTable(1000)
    table.put(keys(words), np.arange(1, 1000))

    assert table.find(keys(words)).tolist() == list(range(1, 1000))
    assert not table.find(keys([b"x" + word for word in words])).any()


@given(words=st.lists(WORD, min_size=1, max_size=30))
def test_distinct_words_say_where_they_were_seen(words):
    found = distinct(keys(words))

    chosen = [words[at] for at in found.seen_at.tolist()]
    assert sorted(chosen) == sorted(set(words))
    assert [chosen[at] for at in found.which.tolist()] == words


def test_zero_bytes_and_lengths_tell_words_apart():
    found = distinct(keys([b"a", b"a\0", b"a\0\0", b"a" * 8, b"a" * 8 + b"\0", b"a" * 15]))

    assert len(found.seen_at) == 6
