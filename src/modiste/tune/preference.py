"""Direct preference optimisation: the chosen answer becomes more probable against the rejected one.

For a pair with log-probabilities p of its answers, and r of the same answers before training, the
margin is m = beta * ((p_chosen - r_chosen) - (p_rejected - r_rejected)) and the loss
-(1 - s) log sigmoid(m) - s log sigmoid(-m), with s the label smoothing (arXiv:2305.18290, and
https://ericmitchell.ai/cdpo.pdf). `sft_weight` adds the chosen answer's own mean loss per token.

The reference is the model as training found it, an adapter it continues from included. Its
log-probabilities are computed once, before the first step, and kept beside the checkpoints: no
second model is held, and a resumed run compares with the same numbers.

Legend: N trained tokens, P pairs, two conversations each: chosen, rejected, chosen, ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import Tensor

from modiste.errors import TuningFailed
from modiste.tune.group import Group, rounds
from modiste.tune.loss import Batch, Document, Measured, Scorer, collate
from modiste.tune.machine import Machine
from modiste.tune.mixture import Sample, Samples
from modiste.tune.objective import Computed, together
from modiste.tune.resume import cannot_write
from modiste.tune.spec import Dpo

REFERENCE = "reference.safetensors"


class Pairs(NamedTuple):
    """What one forward computes."""

    batch: Batch
    reference_P2: Tensor
    """fp64"""
    n_pairs: int


class Preference:
    unit = "pair"
    conversations = 2
    measures: tuple[str, ...] = (
        "preference_accuracy",
        "reward_margin",
        "reward_chosen",
        "reward_rejected",
    )

    def __init__(self, scorer: Scorer, machine: Machine, dpo: Dpo) -> None:
        self.scorer, self.machine, self.dpo = scorer, machine, dpo

    def prepare(
        self,
        data: Sequence[Samples],
        *,
        run_dir: Path,
        belongs_to: str,
        group: Group,
        tell: Callable[[int, int], None],
    ) -> None:
        """Give every sample its reference, read from `run_dir` or computed and left there.

        Raises:
            TuningFailed: samples that are no pairs, or the file cannot be written.
        """
        for samples in data:
            _check_pairs(samples)
        path = run_dir / REFERENCE
        kept = _read(path, belongs_to) if group.speaks else None
        told = group.agree(None if kept is None else kept.tolist())
        if told is None:
            known = self._reference(data, group, tell)
            if group.speaks:
                _write(path, known, belongs_to)
        else:
            known = np.array(told, dtype=np.float64).reshape(-1, 2)
        at = 0
        for samples in data:
            samples.reference = known[at : at + len(samples)]
            at += len(samples)

    def n_units(self, samples: Samples) -> NDArray[np.int64]:
        """1 where both answers have a token to train on. Raises as `prepare`."""
        _check_pairs(samples)
        both = (samples.n_targets_of_parts() > 0).all(axis=1)
        return np.asarray(both, dtype=np.int64)

    def batches(self, samples: Sequence[Sample]) -> Iterator[Pairs]:
        return map(self._collated, together(samples, self.machine))

    def n_tokens(self, batch: object) -> int:
        return cast(Pairs, batch).batch.ids.numel()

    def loss(self, batch: object) -> Computed:
        pairs = cast(Pairs, batch)
        return self._computed(self.scorer.nll(pairs.batch), pairs)

    @torch.no_grad()
    def measure(self, batch: object) -> Measured:
        computed = self.loss(batch)
        n = cast(Pairs, batch).n_pairs
        return Measured(float(computed.loss), None, n, computed.measures)

    @torch.no_grad()
    def losses(self, batch: object) -> list[tuple[float, int]]:
        pairs = cast(Pairs, batch)
        losses_P, _ = self._losses(self.scorer.nll(pairs.batch), pairs)
        return [(loss, 1) for loss in losses_P.tolist()]

    def _computed(self, nll_N: Tensor, pairs: Pairs) -> Computed:
        losses_P, rewards_P2 = self._losses(nll_N, pairs)
        chosen, rejected = rewards_P2.sum(0).tolist()
        accurate = float((rewards_P2[:, 0] > rewards_P2[:, 1]).sum())
        told = (accurate, chosen - rejected, chosen, rejected)
        return Computed(losses_P.sum(), dict(zip(self.measures, told, strict=True)))

    def _losses(self, nll_N: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """(P,) losses, and (P, 2) rewards without gradient."""
        n_targets = torch.bincount(pairs.batch.owners, minlength=2 * pairs.n_pairs)
        logprobs_P2 = -_summed(nll_N, n_targets)
        rewards_P2 = self.dpo.beta * (logprobs_P2 - pairs.reference_P2)
        margins_P = rewards_P2[:, 0] - rewards_P2[:, 1]
        smoothing = self.dpo.label_smoothing
        losses_P = -(1 - smoothing) * F.logsigmoid(margins_P)
        losses_P = losses_P - smoothing * F.logsigmoid(-margins_P)
        if self.dpo.sft_weight:
            losses_P = losses_P - self.dpo.sft_weight * logprobs_P2[:, 0] / n_targets[::2]
        return losses_P, rewards_P2.detach()

    def _collated(self, samples: Sequence[Sample]) -> Pairs:
        documents = [part for sample in samples for part in conversations(sample)]
        references = [sample.reference or (0.0, 0.0) for sample in samples]
        device = self.machine.device
        return Pairs(
            batch=collate(documents, device=device),
            reference_P2=torch.tensor(references, dtype=torch.float64, device=device),
            n_pairs=len(samples),
        )

    @torch.no_grad()
    def _reference(
        self, data: Sequence[Samples], group: Group, tell: Callable[[int, int], None]
    ) -> NDArray[np.float64]:
        """(n, 2) of all samples; each process computes its share."""
        n = sum(map(len, data))
        found = torch.zeros(n, 2, dtype=torch.float64)
        everything = [samples[i] for samples in data for i in range(len(samples))]
        sizes = [len(sample.ids) for sample in everything]
        mine = group.share(list(range(n)), sizes)
        done = 0
        batches = self.batches([everything[i] for i in mine])
        for batch, counts in rounds(group, batches, idle=lambda: self.batches(everything[:1])):
            pairs = cast(Pairs, batch)
            n_targets = torch.bincount(pairs.batch.owners, minlength=2 * pairs.n_pairs)
            sums_P2 = _summed(self.scorer.nll(pairs.batch), n_targets)
            if counts:
                found[mine[done : done + pairs.n_pairs]] = -sums_P2.cpu()
                done += pairs.n_pairs
                tell(done, len(mine))
        group.sum_(found)
        return cast("NDArray[np.float64]", found.numpy())


def _summed(nll_N: Tensor, n_targets: Tensor) -> Tensor:
    """(P, 2) sums over each answer, in fp64: a margin is a small difference of large sums."""
    of_answers = torch.split(nll_N.double(), n_targets.tolist())
    return torch.stack([part.sum() for part in of_answers]).view(-1, 2)


def conversations(sample: Sample) -> tuple[Document, Document]:
    """Chosen and rejected."""
    at = sample.split
    return (
        Document(sample.ids[:at], sample.mask[:at]),
        Document(sample.ids[at:], sample.mask[at:]),
    )


def _check_pairs(samples: Samples) -> None:
    loose = int((samples.splits == 0).sum())
    if loose:
        raise TuningFailed(
            f"objective dpo needs pairs of answers; {loose} of {len(samples)} samples are none",
            code="kind_not_trained",
        )


def _read(path: Path, belongs_to: str) -> NDArray[np.float64] | None:
    """None where there is none that belongs to this run; it is computed anew then."""
    try:
        with safe_open(path, framework="numpy") as file:
            if file.metadata().get("belongs_to") != belongs_to:
                return None
            known: NDArray[np.float64] = file.get_tensor("logprobs")
            return known
    except (OSError, SafetensorError):
        return None


def _write(path: Path, logprobs_n2: NDArray[np.float64], belongs_to: str) -> None:
    partial = path.with_suffix(".partial")
    try:
        save_file({"logprobs": logprobs_n2}, partial, metadata={"belongs_to": belongs_to})
        partial.rename(path)
    except (OSError, SafetensorError) as error:
        wrong = error if isinstance(error, OSError) else OSError(0, str(error))
        raise cannot_write(wrong, "the reference of the pairs", path.parent) from error
