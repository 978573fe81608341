"""Chains of drops end at a row that stays; lists say how long they really are."""

import numpy as np

from modiste.prepare.curate.dedup_report import Drops, listed, shortened
from modiste.prepare.curate.leaders import Like
from modiste.prepare.curate.row_marks import Marks


def marks(n: int) -> Marks:
    nothing = np.zeros(n, dtype=np.int64)
    numbers = np.zeros(n, dtype=np.uint64)
    lines = np.arange(1, n + 1)
    rows = np.zeros((n, 2), dtype=np.uint64)
    weights = np.zeros(n)
    return Marks(
        rows, numbers, nothing, nothing, nothing, weights, lines, bytes(16 * n), ("f",), numbers
    )


def test_a_chain_of_drops_is_settled_with_the_weakest_reason() -> None:
    drops = Drops.none(4)
    drops.add(Like(3, 2, 1.0), 0)
    drops.add(Like(2, 1, 0.8), 1)
    drops.add(Like(1, 0, 0.95), 2)
    drops.settle()
    assert drops.of.tolist() == [-1, 0, 0, 0]
    assert drops.reason.tolist() == [-1, 2, 2, 2]
    assert drops.similarity.tolist() == [0, 0.95, 0.8, 0.8]


def test_a_list_tells_the_most_alike_first_and_how_many_there_are() -> None:
    likes = [Like(1, 0, 0.7), Like(2, 0, 0.9)]
    found = listed(marks(3), likes)
    assert found["n"] == 2
    assert [pair["similarity"] for pair in found["pairs"]] == [0.9, 0.7]


def test_long_texts_show_both_ends() -> None:
    shown = shortened("begin " + "x" * 500 + " end")
    assert shown.startswith("begin")
    assert shown.endswith("end")
    assert len(shown) < 170
    assert shortened("short") == "short"
