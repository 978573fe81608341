"""The linear layer over tokens and pairs of a classifier (`nn.phrases`), learned from its rows.

Logistic regression with a penalty on the squares of the weights: one convex problem with one
answer, so nothing is drawn and nothing depends on an order. It is solved by L-BFGS. A single-class
target is a softmax, a multi-class one a sigmoid for each label. Rare labels do not count more here:
weights would be taken back from the probabilities, and what is left of them is a worse fit.

Legend: N rows, F phrases, L labels of all targets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from modiste.nn.heads_file import n_labels, spans
from modiste.nn.phrases import Phrases, found_in, keys_of
from modiste.tune.memory import MOST_PHRASE_WEIGHTS
from modiste.tune.mixture import Samples
from modiste.types import ClassifierTarget

FEWEST_ROWS = 2
"""That a phrase occurs in: what stands in one row alone says nothing about others."""
STRENGTH = 30.0
"""Of the rows against the penalty."""
MOST_STEPS = 150
MEMORY = 5
"""Steps that L-BFGS remembers, each two vectors as long as the weights."""


class Learned(NamedTuple):
    phrases: Phrases
    bias_L: NDArray[np.float64]

    def logits(self, texts: Sequence[NDArray[np.int32]]) -> NDArray[np.float64]:
        """(N, L)"""
        return np.stack([self.phrases.logits(ids) for ids in texts]) + self.bias_L


def learn(
    data: Sequence[Samples],
    targets: Sequence[ClassifierTarget],
    *,
    tell: Callable[[int], None] = lambda n_done: None,
) -> Learned | None:
    """Every row counts once, whatever its file's weight. None: no phrase is in two rows.

    Args:
        tell: hears how many evaluations of the loss are done.
    """
    texts = [ids for samples in data for ids in np.split(samples.ids, samples.starts[1:-1])]
    keys_F = _table(texts, n_labels(targets))
    if not len(keys_F):
        return None
    rows_NF, truth_NL = _rows(texts, keys_F), _truth(data, n_labels(targets))
    learned = torch.zeros(len(keys_F) + 1, truth_NL.shape[1], requires_grad=True)
    search = torch.optim.LBFGS(
        [learned], max_iter=MOST_STEPS, history_size=MEMORY, line_search_fn="strong_wolfe"
    )
    n_done = 0

    def loss() -> Tensor:
        nonlocal n_done
        n_done += 1
        tell(n_done)
        told, learned.grad = _loss(learned.detach(), rows_NF, truth_NL, targets)
        return told

    search.step(loss)  # type: ignore[no-untyped-call]
    values = learned.detach().numpy()
    phrases = Phrases(keys_F, values[:-1].astype(np.float16))
    return Learned(phrases, values[-1].astype(np.float64))


def _table(texts: Sequence[NDArray[np.int32]], n_labels: int) -> NDArray[np.int64]:
    """Keys in their order."""
    each = [np.unique(keys_of(ids)) for ids in texts]
    keys_F, n_rows_F = np.unique(np.concatenate(each), return_counts=True)
    chosen = (n_rows_F >= FEWEST_ROWS).nonzero()[0]
    most = MOST_PHRASE_WEIGHTS // n_labels
    if len(chosen) > most:
        by_rows = np.argsort(-n_rows_F[chosen], kind="stable")
        chosen = np.sort(chosen[by_rows[:most]])
    return keys_F[chosen]


def _rows(texts: Sequence[NDArray[np.int32]], keys_F: NDArray[np.int64]) -> Any:
    """(N, F) as a sparse matrix."""
    found = [found_in(ids, keys_F) for ids in texts]
    ends = np.cumsum([0, *(len(each.places) for each in found)])
    values = np.concatenate([each.values for each in found]).astype(np.float32)
    places = np.concatenate([each.places for each in found])
    return sparse.csr_matrix((values, places, ends), shape=(len(texts), len(keys_F)))


def _truth(data: Sequence[Samples], n_labels: int) -> Tensor:
    """(N, L), 1 where a label holds."""
    truth = torch.zeros(sum(map(len, data)), n_labels)
    at = 0
    for samples in data:
        for row in range(len(samples)):
            held = samples[row].held
            if held is not None:
                truth[at, torch.as_tensor(held, dtype=torch.long)] = 1.0
            at += 1
    return truth


def _loss(
    values: Tensor,
    rows_NF: Any,
    truth_NL: Tensor,
    targets: Sequence[ClassifierTarget],
) -> tuple[Tensor, Tensor]:
    """Per row, and its gradient; `values` are weights (F, L) and, last, the bias (L,)."""
    weight_FL, n = values[:-1], len(truth_NL)
    logits_NL = torch.from_numpy(rows_NF @ weight_FL.numpy()) + values[-1]
    with torch.enable_grad():
        logits_NL.requires_grad_(True)
        total = logits_NL.new_zeros((), dtype=torch.float64)
        for target, span in zip(targets, spans(targets), strict=True):
            losses = _of_target(target, logits_NL[:, span], truth_NL[:, span])
            total = total + losses.double().sum() / n
        (slope_NL,) = torch.autograd.grad(total, logits_NL)
    share = 1 / (STRENGTH * n)
    # In parts: these vectors are the largest of a job on a small base, and doubles twice as large.
    squares = sum(
        part.double().square().sum() for part in torch.split(weight_FL.flatten(), 1 << 16)
    )
    slope = torch.empty_like(values)
    slope[:-1] = torch.from_numpy(rows_NF.T @ slope_NL.numpy())
    slope[:-1].add_(weight_FL, alpha=share)
    slope[-1] = slope_NL.sum(0)
    return total.detach() + 0.5 * share * squares, slope


def _of_target(target: ClassifierTarget, logits_NL: Tensor, truth_NL: Tensor) -> Tensor:
    if target.single:
        return F.cross_entropy(logits_NL, truth_NL.argmax(-1), reduction="none")
    return F.binary_cross_entropy_with_logits(logits_NL, truth_NL, reduction="none")
