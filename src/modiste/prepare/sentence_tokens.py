"""The tokenizer of a sentence-embedding model: any `tokenizer.json`, with the tokens it puts around
a text. It never cuts and never pads, whatever its file says.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from tokenizers import Tokenizer

from modiste.errors import InvalidInput


class SentenceTokens(NamedTuple):
    encode: Callable[[str], list[int]]
    vocab_size: int


def load(folder: Path) -> SentenceTokens:
    """
    Raises:
        InvalidInput: the folder's `tokenizer.json` is none.
    """
    path = folder / "tokenizer.json"
    return _loaded(path, path.stat().st_mtime_ns if path.is_file() else 0)


@lru_cache(maxsize=16)
def _loaded(path: Path, changed: int) -> SentenceTokens:
    """`changed` makes a file that was replaced count anew."""
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:
        raise InvalidInput(
            f"{path} cannot be read as a tokenizer: {error}", code="tokenizer_unreadable"
        ) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return SentenceTokens(
        lambda text: list(tokenizer.encode(text).ids),
        tokenizer.get_vocab_size(with_added_tokens=True),
    )
