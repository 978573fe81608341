"""Texts as an encoder reads them: framed by its own tokens, never cut."""

from __future__ import annotations

from pathlib import Path

import pytest

from modiste.errors import InvalidInput
from modiste.prepare import sentence_tokens


def test_a_text_is_framed_and_never_cut(sentence_base: Path) -> None:
    tokens = sentence_tokens.load(sentence_base)
    ids = tokens.encode("The house " * 20)
    assert (ids[0], ids[-1], len(ids)) == (2, 3, 42)
    assert tokens.vocab_size == 59


def test_a_file_that_is_no_tokenizer_is_named(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(InvalidInput, match="cannot be read as a tokenizer"):
        sentence_tokens.load(tmp_path)
