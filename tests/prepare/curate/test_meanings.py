"""Close questions with close answers are one; with other answers they are named."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from modiste.prepare.curate.embedders import Vectors
from modiste.prepare.curate.meanings import SameMeaning, find_same_meaning
from modiste.prepare.curate.row_marks import read_marks
from modiste.prepare.curate.stage import Corpus

Rows = Callable[..., Corpus]
Chat = Callable[..., dict[str, Any]]


def angles(texts: Sequence[str]) -> Vectors:
    """A text's number is its direction in degrees."""
    radians = np.radians([float(text) for text in texts])
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def found(corpus: Corpus, order: Sequence[int]) -> SameMeaning:
    marks = read_marks([corpus], system=False, digits=False)
    return find_same_meaning(
        [corpus], marks, order=order, threshold=0.95, embed=angles, centred=False, system=False
    )


def test_every_dropped_row_is_close_to_a_kept_one(corpus: Rows, chat: Chat) -> None:
    """cos 15° = .966, cos 30° = .866: the chain's far end stays."""
    rows = corpus([chat(str(angle), "0") for angle in (0, 15, 30, 90)])
    assert [(like.row, like.of) for like in found(rows, range(4)).dropped] == [(1, 0)]
    assert [(like.row, like.of) for like in found(rows, [1, 0, 2, 3]).dropped] == [(0, 1), (2, 1)]


def test_close_questions_with_other_answers_are_named(corpus: Rows, chat: Chat) -> None:
    rows = corpus([chat("0", "0"), chat("5", "90"), chat("6", "8")])
    result = found(rows, range(3))
    assert [(like.row, like.of) for like in result.dropped] == [(2, 0)]
    assert [(like.row, like.of) for like in result.differing] == [(1, 0), (2, 1)]


def test_rows_out_of_order_take_no_part(corpus: Rows, chat: Chat) -> None:
    rows = corpus([chat("0", "0"), chat("1", "0"), chat("2", "0")])
    result = found(rows, [0, 2])
    assert result.n_embedded == 2
    assert [(like.row, like.of) for like in result.dropped] == [(2, 0)]
