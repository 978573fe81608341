"""Classification: heads on the pooled last states say which labels a row holds.

A single-class target is a softmax over its labels with cross-entropy; a multi-class one a sigmoid
and a binary cross-entropy for each label, their mean. A row's loss is the sum over targets, each
times its weight. Rare labels count more, as `classifier.balance` says, by weights that average 1
over the training rows; what that does to the probabilities is undone when they are published
(`correction`), so they stay those of rows that come as the training rows did.

Legend: N rows, T tokens of all of them, D hidden size, L labels of all targets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from modiste.errors import TuningFailed
from modiste.nn import class_heads, heads_file
from modiste.nn.class_heads import LearnedHeads
from modiste.nn.heads_file import HeadPooling, spans
from modiste.tune.group import Group
from modiste.tune.loss import Batch, Document, Measured, Scorer, collate
from modiste.tune.machine import Machine
from modiste.tune.mixture import Sample, Samples
from modiste.tune.objective import Computed, together
from modiste.tune.spec import TuneSpec
from modiste.types import ClassifierTarget

MOST_TIMES = 100.0
"""How much more the rarest label may count than the commonest: a class of two rows is not learned
by shouting at it."""
SHARES = {"none": 0.0, "sqrt": 0.5, "full": 1.0}


class Labelled(NamedTuple):
    """What one forward computes."""

    batch: Batch
    lengths: list[int]
    """Tokens of each row."""
    truth_NL: Tensor
    """fp32, 1 where a label holds."""


class Classify:
    unit = "row"
    conversations = 1

    def __init__(
        self,
        scorer: Scorer,
        heads: LearnedHeads,
        machine: Machine,
        spec: TuneSpec,
        weights_L: Tensor,
    ) -> None:
        """`weights_L` as `label_weights` makes them."""
        self.scorer, self.heads, self.machine = scorer, heads, machine
        self.targets = spec.classifier_targets
        self.pooling = HeadPooling(spec.classifier.pooling)
        self._weights_L = weights_L.to(machine.device)
        self._spans = spans(self.targets)
        self.measures = tuple(name for target in self.targets for name in _measures(target))

    def prepare(
        self,
        data: Sequence[Samples],
        *,
        run_dir: Path,
        belongs_to: str,
        group: Group,
        tell: Callable[[int, int], None],
    ) -> None:
        pass

    def n_units(self, samples: Samples) -> NDArray[np.int64]:
        """1 each. Raises TuningFailed: rows without labels."""
        if samples.held is None and len(samples):
            raise TuningFailed(
                f"objective classify needs rows with labels; {len(samples)} samples have none",
                code="kind_not_trained",
            )
        return np.ones(len(samples), dtype=np.int64)

    def batches(self, samples: Sequence[Sample]) -> Iterator[Labelled]:
        return map(self._collated, together(samples, self.machine))

    def n_tokens(self, batch: object) -> int:
        return cast(Labelled, batch).batch.ids.numel()

    def loss(self, batch: object) -> Computed:
        rows = cast(Labelled, batch)
        return self._computed(self.logits(rows), rows.truth_NL)

    @torch.no_grad()
    def measure(self, batch: object) -> Measured:
        rows = cast(Labelled, batch)
        logits_NL = self.logits(rows)
        computed = self._computed(logits_NL, rows.truth_NL)
        right_N = torch.stack(self._right(logits_NL, rows.truth_NL)).all(0)
        n = len(rows.lengths)
        return Measured(float(computed.loss), int(right_N.sum()), n, computed.measures)

    @torch.no_grad()
    def losses(self, batch: object) -> list[tuple[float, int]]:
        rows = cast(Labelled, batch)
        logits_NL = self.logits(rows)
        total_N = sum(
            target.weight * _losses_of(target, own_NL, true_NL, own_L)
            for target, own_NL, true_NL, own_L in self._by_target(logits_NL, rows.truth_NL)
        )
        return [(loss, 1) for loss in cast(Tensor, total_N).tolist()]

    def logits(self, rows: Labelled) -> Tensor:
        """(N, L) in fp32."""
        return self.heads.logits(self.pooled(rows))

    def pooled(self, rows: Labelled) -> Tensor:
        """(N, D)"""
        states_TD = self.scorer.states(rows.batch)
        return class_heads.pooled(states_TD, rows.lengths, self.pooling)

    def _computed(self, logits_NL: Tensor, truth_NL: Tensor) -> Computed:
        total = logits_NL.new_zeros((), dtype=torch.float64)
        told: dict[str, float] = {}
        right = self._right(logits_NL.detach(), truth_NL)
        apart = self._by_target(logits_NL, truth_NL)
        for (target, own_NL, true_NL, own_L), right_N in zip(apart, right, strict=True):
            loss = _losses_of(target, own_NL, true_NL, own_L).sum()
            total = total + target.weight * loss
            values = (float(right_N.sum()), float(loss.detach()))
            told |= dict(zip(_measures(target), values, strict=True))
        return Computed(total.float(), told)

    def _by_target(
        self, logits_NL: Tensor, truth_NL: Tensor
    ) -> Iterator[tuple[ClassifierTarget, Tensor, Tensor, Tensor]]:
        """Each with its logits, truth and label weights."""
        for target, span in zip(self.targets, self._spans, strict=True):
            yield target, logits_NL[:, span], truth_NL[:, span], self._weights_L[span]

    def _right(self, logits_NL: Tensor, truth_NL: Tensor) -> list[Tensor]:
        """(N,) for each target: whether all it says of a row is true."""
        found = []
        for target, own_NL, true_NL, _ in self._by_target(logits_NL, truth_NL):
            if target.single:
                found.append(own_NL.argmax(-1) == true_NL.argmax(-1))
            else:
                found.append(((own_NL > 0) == (true_NL > 0)).all(-1))
        return found

    def _collated(self, samples: Sequence[Sample]) -> Labelled:
        documents = [_document(sample) for sample in samples]
        truth_NL = torch.zeros(len(samples), heads_file.n_labels(self.targets))
        for row, sample in enumerate(samples):
            if sample.held is not None:
                truth_NL[row, torch.as_tensor(sample.held, dtype=torch.long)] = 1.0
        return Labelled(
            collate(documents, device=self.machine.device),
            [len(sample.ids) for sample in samples],
            truth_NL.to(self.machine.device),
        )


def _document(sample: Sample) -> Document:
    """With one token more: the last of a document is only ever predicted, and never read."""
    ids = np.append(sample.ids, sample.ids[-1])
    return Document(ids, np.zeros(len(ids), dtype=np.bool_))


def _measures(target: ClassifierTarget) -> tuple[str, str]:
    return f"{target.name}_accuracy", f"{target.name}_loss"


def _losses_of(
    target: ClassifierTarget, logits_NL: Tensor, truth_NL: Tensor, weights_L: Tensor
) -> Tensor:
    """(N,) in fp64."""
    if target.single:
        losses_N = F.cross_entropy(logits_NL, truth_NL.argmax(-1), weights_L, reduction="none")
        return losses_N.double()
    losses_NL = F.binary_cross_entropy_with_logits(
        logits_NL, truth_NL, pos_weight=weights_L, reduction="none"
    )
    return losses_NL.double().mean(-1)


def label_counts(data: Sequence[Samples], n_labels: int) -> NDArray[np.int64]:
    """(L,) rows that hold each label."""
    counts = np.zeros(n_labels, dtype=np.int64)
    for samples in data:
        if samples.held is not None:
            counts += np.bincount(samples.held, minlength=n_labels)
    return counts


def label_weights(
    targets: Sequence[ClassifierTarget],
    counts_L: NDArray[np.int64],
    n_rows: int,
    *,
    balance: str,
) -> Tensor:
    """(L,): of a single-class target, of each row by its label, 1 on average over the rows; of a
    multi-class one, of the rows that hold a label against those that do not."""
    share = SHARES[balance]
    weights_L = np.ones(len(counts_L))
    for target, span in zip(targets, spans(targets), strict=True):
        held_L = np.maximum(counts_L[span], 1)
        if target.single:
            raw_L = (held_L.max() / held_L).clip(max=MOST_TIMES) ** share
            weights_L[span] = raw_L * held_L.sum() / (raw_L * held_L).sum()
        else:
            rest_L = np.maximum(n_rows - held_L, 1)
            weights_L[span] = (rest_L / held_L).clip(1 / MOST_TIMES, MOST_TIMES) ** share
    return torch.tensor(weights_L, dtype=torch.float32)


def correction(weights_L: Tensor) -> Tensor:
    """(L,), to be added to the logits: a loss weighted by w is smallest where probabilities are w
    times what they should be, before they are made to add up."""
    return -weights_L.log()
