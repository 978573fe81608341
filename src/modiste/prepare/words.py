"""Many texts to token ids at once, each word encoded once: the same ids, several times as fast.

Texts are cut where nothing can reach across (`cuts.py`) into words of a few letters, most of which
have been seen before. Words known already are found for all texts together in numpy; new ones are
encoded in one call, with separators between them. A text that must not be cut is one word, and goes
to the tokenizer as it is. So the ids are always the tokenizer's own.

What stands between texts (control tokens) is given as numbered frames; a frame is a word as well,
spelt with bytes that no text has. Memory is bounded: when the table is full, everything is
forgotten and learned anew.

Words are numbered (`word_table.py`; long ones in a dict); a number says where the ids lie.

Shapes: B bytes of all texts, W words in them, D distinct new words, T tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from modiste.prepare.cuts import Cuts
from modiste.prepare.word_table import LONGEST_KEY, Indexes, WordTable, distinct, keys_of

MAX_WORDS = 1 << 18
MAX_TOKENS = 1 << 21
"""Of all words kept; with their table and keys 18 MB."""
BATCH_BYTES = 1 << 17
"""Texts handled together: enough to spread numpy's cost per call, little enough for the cache,
and always fewer words than the table has room for."""
JOINED_WORDS = 128
"""New words encoded in one call; SentencePiece is slow with very long texts."""
_FRAME = 0xFF
_FRAMES = range(0xF8, 0xFF)
"""A frame is spelt with two bytes that UTF-8 does not have."""


class Written(NamedTuple):
    ids: NDArray[np.int32]
    frame_ends: list[int]
    """How many ids stand before the end of each frame."""


class Words:
    """What is known about a vocabulary's words."""

    def __init__(
        self,
        encode: Callable[[str], Sequence[int]],
        spelling: Sequence[bytes],
        cuts: Cuts,
        frames: Sequence[Sequence[int]] = (),
    ) -> None:
        """
        Args:
            encode: the tokenizer; text only, no control tokens. An array of ids will do.
            spelling: the bytes of each id.
            frames: ids that may stand between texts, at most seven sequences.
        """
        self._encode = encode
        self._cuts = cuts
        self._between = _with_frames(cuts.between).reshape(-1)
        self._length_of_id = np.fromiter(map(len, spelling), np.int64, len(spelling))
        self._frames = [np.array(frame, dtype=np.int64) for frame in frames]
        self._frame_words = [bytes([_FRAME, code]) for code in _FRAMES[: len(frames)]]
        self._forget()

    def encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, as `encode` gives them.

        Raises:
            ValueError: as `write`.
        """
        return [written.ids.tolist() for written in self.write([[text] for text in texts])]

    def write(self, samples: Sequence[Sequence[str | int]]) -> list[Written]:
        """Each sample's ids: of its texts and, by number, frames, one after the other.

        Raises:
            ValueError: a text holds half a surrogate pair, or the tokenizer cannot read it, or a
                sample has more words than the table (a megabyte of text is safe).
        """
        found: list[Written] = []
        parts: list[bytes] = []
        ends: list[int] = []
        whole: dict[int, str] = {}
        size = 0
        opening, frames = self._cuts.opening, self._frame_words
        for sample in samples:
            for piece in sample:
                if isinstance(piece, str):
                    part = opening + piece.encode() if piece else b""
                    if not piece.isascii() and self._cuts.uncut.search(piece):
                        whole[size] = piece
                else:
                    part = frames[piece]
                parts.append(part)
                size += len(part)
            ends.append(size)
            if size > BATCH_BYTES:
                found += self._written(b"".join(parts), ends, whole)
                parts, ends, whole, size = [], [], {}, 0
        return found + self._written(b"".join(parts), ends, whole)

    def _written(self, data: bytes, ends: list[int], whole: dict[int, str]) -> list[Written]:
        """Samples that end at these bytes; `whole` are texts not to be cut, by where they start."""
        if not data:
            return [Written(self._pool[:0], []) for _ in ends]
        starts_W = self._cut(data, ends, whole)
        is_frame_W = np.frombuffer(data, dtype=np.uint8)[starts_W] == _FRAME
        entries_W = self._entries(data, starts_W, whole)
        counts_W = self._counts[entries_W]
        ends_W = np.cumsum(counts_W)
        at_T = np.repeat(self._firsts[entries_W] - (ends_W - counts_W), counts_W)
        at_T += np.arange(len(at_T))
        ids_T = self._pool[at_T]
        words_before = np.searchsorted(starts_W, [0, *ends])
        ids_before = np.append(0, ends_W)[words_before].tolist()
        frames_before = np.append(0, np.cumsum(is_frame_W))[words_before].tolist()
        frame_ends = ends_W[is_frame_W].tolist()
        return [
            Written(ids_T[first:end], [at - first for at in frame_ends[before:after]])
            for (first, end), (before, after) in zip(
                pairwise(ids_before), pairwise(frames_before), strict=True
            )
        ]

    def _cut(self, data: bytes, ends: list[int], whole: dict[int, str]) -> Indexes:
        """Where words start."""
        letters_B = np.frombuffer(data, dtype=np.uint8)
        pairs_B = letters_B[:-1].astype(np.uint16)
        pairs_B <<= 8
        pairs_B |= letters_B[1:]
        is_start_B = np.ones(len(data) + 1, dtype=np.bool_)
        is_start_B[1:-1] = self._between[pairs_B]
        is_start_B[ends] = True
        for start, text in whole.items():
            is_start_B[start] = True
            is_start_B[start + 1 : start + self._n_bytes(text)] = False
        return np.flatnonzero(is_start_B[:-1])

    def _n_bytes(self, text: str) -> int:
        return len(self._cuts.opening) + len(text.encode())

    def _entries(self, data: bytes, starts_W: Indexes, whole: dict[int, str]) -> Indexes:
        """Where each word is kept; new words are learned."""
        lengths_W = np.diff(starts_W, append=len(data))
        keys_W = keys_of(data, starts_W, lengths_W)
        entries_W = self._table.find(keys_W)
        is_long_W = lengths_W > LONGEST_KEY
        is_long_W[np.searchsorted(starts_W, list(whole))] = True
        short = np.flatnonzero((entries_W == 0) & ~is_long_W)
        long = np.flatnonzero(is_long_W)
        long_words = _slices(data, starts_W[long], lengths_W[long])
        new_long = [word for word in dict.fromkeys(long_words) if word not in self._long]
        if not self._has_room(len(short) + len(new_long), len(data)):
            self._forget()
            return self._entries(data, starts_W, whole)
        if len(short):
            keys_D, seen_at, which = distinct(keys_W.at(short))
            new = short[seen_at]
            entries_D = self._learn(_slices(data, starts_W[new], lengths_W[new]), {})
            self._table.put(keys_D, entries_D)
            entries_W[short] = entries_D[which]
        if new_long:
            texts = {data[at : at + self._n_bytes(text)]: text for at, text in whole.items()}
            learned = self._learn(new_long, texts).tolist()
            self._long.update(zip(new_long, learned, strict=True))
        if long_words:
            entries_W[long] = [self._long[word] for word in long_words]
        return entries_W

    def _learn(self, words: list[bytes], texts: dict[bytes, str]) -> Indexes:
        """Encode new words and keep them.

        Most are joined. Whole `texts` are encoded alone, and what no separator may follow (only
        vocabularies that put nothing before a text have such words).
        """
        entries_D = np.arange(self._n_words, self._n_words + len(words))
        self._n_words += len(words)
        ends_alone = ~self._cuts.between[:, self._cuts.separator]
        last_D = np.frombuffer(b"".join([word[-1:] for word in words]), dtype=np.uint8)
        alone_D = ends_alone[last_D] | [word in texts for word in words]
        for at in np.flatnonzero(alone_D).tolist():
            text = texts.get(words[at]) or words[at].decode()
            alone = np.asarray(self._encode(text), dtype=np.int64)
            self._keep(entries_D[at : at + 1], np.array([len(alone)]), alone)
        joined = np.flatnonzero(~alone_D)
        for start in range(0, len(joined), JOINED_WORDS):
            some = joined[start : start + JOINED_WORDS]
            counts, ids = self._encode_joined([words[at] for at in some.tolist()])
            self._keep(entries_D[some], counts, ids)
        return entries_D

    def _encode_joined(self, words: list[bytes]) -> tuple[Indexes, Indexes]:
        """How many ids each word has, and all ids, those of separators taken out."""
        separator = bytes([self._cuts.separator])
        text = separator + separator.join(words) + separator
        ids_T = np.asarray(self._encode(text.decode()), dtype=np.int64)
        ends_T = np.cumsum(self._length_of_id[ids_T])
        starts = np.cumsum([len(self._cuts.opening) + 1, *(len(word) + 1 for word in words)])
        before = np.searchsorted(ends_T, starts)
        if not np.array_equal(ends_T[before], starts):
            raise AssertionError("a token reaches across a cut: the cuts of cuts.py are wrong")
        is_word_T = np.ones(len(ids_T), dtype=np.bool_)
        is_word_T[: before[0]] = False
        is_word_T[before] = False
        return np.diff(before) - 1, ids_T[is_word_T]

    def _keep(self, entries: Indexes, counts: Indexes, ids: Indexes) -> None:
        self._counts[entries] = counts
        self._firsts[entries] = self._n_tokens + np.cumsum(counts) - counts
        self._pool[self._n_tokens : self._n_tokens + len(ids)] = ids
        self._n_tokens += len(ids)

    def _has_room(self, n_words: int, n_tokens: int) -> bool:
        fits = self._n_words + n_words <= MAX_WORDS and self._n_tokens + n_tokens <= MAX_TOKENS
        if not fits and self._n_words <= 1 + len(self._frames):
            raise ValueError("a sample has more words than can be kept at once")
        return fits

    def _forget(self) -> None:
        """All but the frames. Entry 0 stands for unknown words."""
        self._table = WordTable(MAX_WORDS)
        self._firsts = np.zeros(MAX_WORDS, dtype=np.int32)
        self._counts = np.zeros(MAX_WORDS, dtype=np.int32)
        self._pool = np.zeros(MAX_TOKENS, dtype=np.int32)
        self._long: dict[bytes, int] = {}
        self._n_words, self._n_tokens = 1, 0
        for word, ids in zip(self._frame_words, self._frames, strict=True):
            entry = np.array([self._n_words])
            self._n_words += 1
            self._keep(entry, np.array([len(ids)]), ids)
            self._table.put(keys_of(word, np.array([0]), np.array([len(word)])), entry)


def _with_frames(between: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Cuts around frames, and none between their two bytes."""
    framed = between.copy()
    framed[:, _FRAME] = True
    framed[_FRAMES.start : _FRAMES.stop, :] = True
    framed[_FRAME, :] = False
    return framed


def _slices(data: bytes, starts: Indexes, lengths: Indexes) -> list[bytes]:
    spans = zip(starts.tolist(), lengths.tolist(), strict=True)
    return [data[start : start + length] for start, length in spans]
