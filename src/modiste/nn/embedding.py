"""Texts as vectors of a base model: the mean of its last hidden states.

Coarse beside a model made for embeddings, but at hand without a network. Nothing of a text is cut:
longer ones are read in windows whose states all count. The tokenizer comes from above, as a
callable.

Legend: N tokens of a step, D hidden size, B texts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from modiste.nn.decoder import load_decoder
from modiste.nn.parts import Span

WINDOW = 512
STEP_TOKENS = 4096


class TextEmbedder:
    """Call it with texts; a text without a token is a vector of zeros."""

    def __init__(self, base: Path, encode: Callable[[str], list[int]]) -> None:
        """
        Raises:
            InvalidInput: the base cannot be loaded or computed here; the message says why.
        """
        self._decoder = load_decoder(base)
        self._encode = encode
        self._window = min(WINDOW, self._decoder.shape.context)
        self._cells = self._decoder.key_values(max(STEP_TOKENS, self._window))

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(B, D)"""
        sums_BD = np.zeros((len(texts), self._decoder.shape.hidden_size), dtype=np.float64)
        counts = np.zeros(len(texts), dtype=np.int64)
        step: list[tuple[int, list[int]]] = []
        n_tokens = 0
        for text, ids in self._windows(texts):
            if n_tokens + len(ids) > STEP_TOKENS:
                self._add(step, sums_BD)
                step, n_tokens = [], 0
            step.append((text, ids))
            n_tokens += len(ids)
            counts[text] += len(ids)
        self._add(step, sums_BD)
        means_BD = sums_BD / np.maximum(counts, 1)[:, None]
        return np.asarray(means_BD, dtype=np.float32)

    def _windows(self, texts: Sequence[str]) -> list[tuple[int, list[int]]]:
        found = []
        for index, text in enumerate(texts):
            ids = self._encode(text)
            for at in range(0, len(ids), self._window):
                found.append((index, ids[at : at + self._window]))
        return found

    @torch.inference_mode()
    def _add(self, step: Sequence[tuple[int, list[int]]], sums_BD: NDArray[np.float64]) -> None:
        if not step:
            return
        spans, first = [], 0
        for _, ids in step:
            spans.append(Span(first, len(ids), first, len(ids)))
            first += len(ids)
        ids_N = torch.tensor([token for _, ids in step for token in ids])
        hidden_ND = self._decoder.hidden(ids_N, spans, self._cells)
        for (text, _), span in zip(step, spans, strict=True):
            own_nD = hidden_ND[span.first_row : span.first_row + span.n_rows]
            sums_BD[text] += own_nD.double().sum(0).numpy()
