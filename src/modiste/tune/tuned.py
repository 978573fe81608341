"""A base model and what is learned on it: what the recipe trains and measures are taken of."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from modiste.errors import InvalidInput, TuningFailed
from modiste.nn.learned import Learned
from modiste.nn.loading import load_base
from modiste.nn.lora import attach
from modiste.tune.group import Alone, Group, rounds
from modiste.tune.loss import Document, Measured, Scorer, collate, probe, same
from modiste.tune.machine import Machine
from modiste.tune.mixture import Samples
from modiste.tune.objective import Objective, summed
from modiste.tune.spec import TuneSpec


class Tuned(NamedTuple):
    scorer: Scorer
    learned: Learned
    machine: Machine

    def logprobs(self, ids: Sequence[int], *, adapted: bool = True) -> list[float]:
        """Log-probability of each of ids[1:] behind those before it, with or without adapters."""
        document = Document(ids, [True] * len(ids))
        with nullcontext() if adapted else self.learned.disabled():
            return self.scorer.logprobs(collate([document], device=self.machine.device))


def load(spec: TuneSpec, base_path: Path, machine: Machine, *, pack: bool = True) -> Tuned:
    """Base on the machine's device and in its dtype, fresh adapters attached.

    `pack` takes twice the memory and is for training.

    Raises:
        InvalidInput: the base cannot be loaded, or has no layers of the names in the spec.
    """
    model = load_base(base_path, dtype=machine.torch_dtype).model
    if machine.device != "cpu":
        model.to(torch.device(machine.device))  # type: ignore[arg-type]
    scorer = Scorer.of(model)
    with torch.no_grad():
        before = scorer.own_logits(probe(model))
    adapters = attach(
        model,
        rank=spec.lora.rank,
        scaling=spec.lora.scaling,
        targets=spec.lora.targets,
        seed=spec.seed,
        pack=pack,
    )
    _check_untouched(scorer, before)
    return Tuned(scorer, adapters, machine)


def in_fp32(tuned: Tuned, spec: TuneSpec, base_path: Path) -> Tuned:
    """The same, computed in fp32: what the served model is compared with."""
    if tuned.machine.dtype == "float32":
        return tuned
    exact = load(spec, base_path, replace(tuned.machine, dtype="float32"), pack=False)
    with torch.no_grad():
        exact.learned.flat.copy_(tuned.learned.flat)
    return exact


@torch.no_grad()
def _check_untouched(scorer: Scorer, before: Tensor) -> None:
    """Fresh adapters change nothing; a model that reads its weights past its layers shows here."""
    kind = type(scorer.model).__name__
    try:
        after = scorer.own_logits(probe(scorer.model))
    except AttributeError as error:
        raise InvalidInput(
            f"{kind} uses the weights of some linear layers directly ({error}); name the layers to "
            "adapt in lora.targets, without those"
        ) from error
    if not same(before, after, dtype=scorer.model.dtype):
        raise InvalidInput(f"{kind} computes something else with adapters on: it cannot be tuned")


def evaluate(objective: Objective, samples: Samples, *, group: Group | None = None) -> Measured:
    """Sums over every unit of `samples`, of which each process of the group measures a share.

    Raises:
        TuningFailed: there is none.
    """
    useful = [int(i) for i in (objective.n_units(samples) > 0).nonzero()[0]]
    if not useful:
        raise TuningFailed(
            "the validation files hold no token to predict; give at least one assistant message a "
            "weight other than 0, or leave them out",
            code="no_trainable_tokens",
        )
    group = group or Alone()
    mine = objective.batches(
        group.share([samples[i] for i in useful], samples.lengths[useful].tolist())
    )
    parts = []
    for batch, counts in rounds(group, mine, idle=lambda: objective.batches([samples[useful[0]]])):
        measured = objective.measure(batch)
        parts += [measured] if counts else []
    return _added([Measured(*part) for part in group.everyones(_added(parts))])


def _added(parts: Sequence[Measured]) -> Measured:
    correct = [part.n_correct for part in parts if part.n_correct is not None]
    return Measured(
        nll=sum(part.nll for part in parts),
        n_correct=sum(correct) if correct else None,
        n=sum(part.n for part in parts),
        measures=summed(part.measures for part in parts),
    )
