"""All pairs above a cosine are found, in blocks or in cells."""

import numpy as np
import pytest

from modiste.errors import InvalidInput
from modiste.prepare.curate import semantic as module
from modiste.prepare.curate.embedders import Vectors
from modiste.prepare.curate.semantic import alike, embedded


def unit(n: int, width: int = 16, seed: int = 0) -> Vectors:
    vectors = np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def pairs(vectors: Vectors, threshold: float) -> set[tuple[int, int]]:
    found = alike(vectors, threshold)
    return set(zip(found.first.tolist(), found.second.tolist(), strict=True))


def truth(vectors: Vectors, threshold: float) -> set[tuple[int, int]]:
    i, j = np.nonzero(np.triu(vectors @ vectors.T, 1) >= threshold)
    return set(zip(i.tolist(), j.tolist(), strict=True))


def test_blocks_find_what_one_product_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = unit(300)
    expected = truth(vectors, 0.6)
    monkeypatch.setattr(module, "_BLOCK", 37)
    assert pairs(vectors, 0.6) == expected
    assert len(expected) > 100


def test_cells_find_nearly_all_close_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each vector is in its two nearest cells: neighbours rarely miss each other."""
    centres = unit(400, seed=1)
    vectors = np.concatenate([centres, centres + unit(400, seed=2) * 0.1])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    monkeypatch.setattr(module, "MAX_EXACT", 100)
    monkeypatch.setattr(module, "_CELL", 100)
    expected = truth(vectors, 0.95)
    found = pairs(vectors, 0.95)
    assert found <= expected
    assert len(found) > 0.97 * len(expected) > 300


def test_vectors_have_length_one_and_no_common_direction_if_centred() -> None:
    raw = unit(50) + 5
    plain = embedded([str(i) for i in range(50)], lambda texts: raw[[int(t) for t in texts]])
    centred = embedded(
        [str(i) for i in range(50)], lambda texts: raw[[int(t) for t in texts]], centred=True
    )
    assert np.allclose(np.linalg.norm(plain, axis=1), 1, atol=1e-5)
    assert plain.mean(axis=0) @ plain.mean(axis=0) > 0.9
    assert np.abs(centred.mean(axis=0)).max() < 0.1


def test_a_vector_of_zeros_is_like_nothing() -> None:
    assert pairs(embedded(["a", "b"], lambda t: np.zeros((len(t), 3), np.float32)), 0.5) == set()


def test_an_embedder_that_loses_texts_is_refused() -> None:
    with pytest.raises(InvalidInput, match="2 texts were embedded"):
        embedded(["a", "b"], lambda texts: unit(1))


def test_a_threshold_that_pairs_everything_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PAIRS", 10)
    with pytest.raises(InvalidInput, match="raise the threshold"):
        alike(np.ones((20, 2), dtype=np.float32), 0.5)


def test_no_vectors_have_no_pairs() -> None:
    assert alike(embedded([], lambda texts: unit(0)), 0.5).first.size == 0
