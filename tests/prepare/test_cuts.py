"""Where texts may be cut: only where no token can reach across."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mistral_common.tokens.tokenizers.sentencepiece import is_sentencepiece_tokenizer

from modiste.prepare.cuts import TEKKEN_PATTERN, Cuts, sentencepiece_cuts, tekken_cuts

RANDOM = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
LETTERS = st.characters(exclude_categories=["Cs"]) | st.sampled_from(
    "aZ09 \n\r\t/.,:;'\"()[]{}<>_-*#`\\éßЖ中\u0301🙂…”"
)


@cache
def cuts_of(pair) -> Cuts:
    tokenizer = pair.ours._text
    if is_sentencepiece_tokenizer(tokenizer):
        found = sentencepiece_cuts(tokenizer.file_path.read_bytes())
    else:
        found = tekken_cuts(tokenizer._model._pat_str)
    assert found is not None
    return found


def parts_of(text: str, cuts: Cuts) -> list[str]:
    data = cuts.opening + text.encode()
    starts = [0] + [at for at in range(1, len(data)) if cuts.between[data[at - 1], data[at]]]
    return [data[a:b].decode() for a, b in zip(starts, [*starts[1:], None], strict=True)]


@given(text=st.text(LETTERS, min_size=1, max_size=40))
@RANDOM
def test_the_parts_of_a_text_spell_the_tokens_of_the_whole(pair, text):
    cuts = cuts_of(pair)
    if cuts.uncut.search(text):
        return

    spelt = [pair.ours.spelling[i] for i in pair.ours.encode(text)]
    ends = np.cumsum([len(piece) for piece in spelt]).tolist()
    part_ends = np.cumsum([len(part.encode()) for part in parts_of(text, cuts)]).tolist()

    assert set(part_ends) <= set(ends)


@pytest.mark.parametrize("around", ["{}{}", "a{}{}b", ". {}{} .", "1{}{}\n"])
def test_no_two_ascii_letters_are_cut_where_they_encode_differently_together(pair, around):
    cuts, encode = cuts_of(pair), pair.ours.encode
    before, after = around.split("{}{}")
    wrong = []
    for first in map(chr, range(1, 128)):
        for second in map(chr, range(1, 128)):
            if not cuts.between[ord(first), ord(second)]:
                continue
            whole = encode(f"{before}{first}{second}{after}")
            left = encode(f"{before}{first}")
            if whole[: len(left)] != left:
                wrong.append(first + second)

    assert wrong == []


def test_letters_of_several_bytes_are_never_cut(pair):
    assert not cuts_of(pair).between[:, 0x80:0xC0].any()


def test_a_separator_has_cuts_all_around_it(pair):
    cuts = cuts_of(pair)
    printable = [*range(0x20, 0x7F)]

    assert cuts.between[cuts.separator, printable].all()
    assert cuts.between[printable[1:], cuts.separator].all()


def test_words_and_punctuation_come_apart(pair):
    parts = parts_of("Well, no: 42 is\nfine.", cuts_of(pair))

    assert "Well" in "".join(parts[:2])
    assert " no" in parts
    assert len(parts) >= 8


def test_an_expression_that_is_not_tekkens_gives_no_cuts():
    assert tekken_cuts(TEKKEN_PATTERN + r"|\d") is None


def test_a_model_that_is_no_plain_bpe_gives_no_cuts(v3):
    model = v3.ours._text.file_path.read_bytes()
    bpe = bytes([0x18, 2])  # field 3 of the trainer: 2 is BPE
    at = model.rindex(bpe + bytes([0x20]))

    assert sentencepiece_cuts(model) is not None
    assert sentencepiece_cuts(model[:at] + bytes([0x18, 1]) + model[at + 2 :]) is None
    assert sentencepiece_cuts(b"") is None
