"""A base model and what is learned on it: what the recipe trains and measures are taken of."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import replace
from itertools import starmap
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from modiste.errors import InvalidInput, TuningFailed
from modiste.nn import class_heads, heads_file
from modiste.nn.class_heads import LearnedHeads
from modiste.nn.full import unfreeze
from modiste.nn.fused import fuse
from modiste.nn.greedy import Likeliest
from modiste.nn.learned import Learned
from modiste.nn.recompute import recompute_blocks
from modiste.tune import methods
from modiste.tune.group import Alone, Group, Round, rounds
from modiste.tune.lanes import Lanes
from modiste.tune.loss import Document, Measured, Scorer, collate, probe, same
from modiste.tune.machine import Machine
from modiste.tune.mixture import Samples
from modiste.tune.objective import Objective, summed
from modiste.tune.spec import Method, TuneSpec

NOTHING = Measured(0.0, None, 0)


class Tuned(NamedTuple):
    scorer: Scorer
    learned: Learned
    machine: Machine
    before: Scorer | None = None
    """The base, where `learned` cannot be switched off."""
    sharded: bool = False
    """Every use is an exchange with the other processes."""
    heads: LearnedHeads | None = None
    """Of a classifier."""

    def logprobs(self, ids: Sequence[int], *, adapted: bool = True) -> list[float]:
        """Log-probability of each of ids[1:] behind those before it, with what was learned or as
        the base has it."""
        batch = collate([Document(ids, [True] * len(ids))], device=self.machine.device)
        if not adapted and self.before is not None:
            return self.before.logprobs(batch)
        with nullcontext() if adapted else self.learned.disabled():
            return self.scorer.logprobs(batch)

    def likeliest(self, ids: Sequence[int]) -> Likeliest:
        """Behind each of the ids, with what was learned."""
        everywhere = Document([*ids, ids[-1]], [True] * (len(ids) + 1))  # The last is not read.
        return self.scorer.likeliest(collate([everywhere], device=self.machine.device))


def load(
    spec: TuneSpec,
    base_path: Path,
    machine: Machine,
    *,
    pack: bool = True,
    sharded: bool = False,
) -> Tuned:
    """Base on the machine's device and in its dtype, and what the spec's method learns on it.

    `pack` takes twice the memory and is for training; `sharded` spreads the base over the processes
    of the group, which must then all use it equally often.

    Raises:
        InvalidInput: the base cannot be loaded, has no layers of the names in the spec, or the spec
            asks for what its method or the adapter it continues from does not have.
    """
    methods.refuse_contradictions(spec, machine)
    model = methods.load_model(spec, base_path, machine, sharded=sharded)
    scorer = Scorer.of(model)
    learned: Learned
    heads = None
    if spec.method is Method.FULL:
        learned = unfreeze(model, base_path=base_path)
        scorer.learn_head()
    else:
        with torch.no_grad():
            before = scorer.own_logits(probe(model))
        n_labels = heads_file.n_labels(spec.classifier_targets)
        width = model.config.get_text_config().hidden_size
        beside = class_heads.size(n_labels, width)
        learned = adapters = methods.adapters(spec, model, pack=pack, beside=beside)
        if n_labels:
            heads = LearnedHeads(adapters.room, n_labels=n_labels, hidden_size=width)
        if not sharded:
            fuse(model)
        with learned.disabled():
            _check_untouched(scorer, before)
    if machine.recomputes(spec):
        recompute_blocks(model, learned=learned.flat)
    return Tuned(scorer, learned, machine, sharded=sharded, heads=heads)


def in_fp32(tuned: Tuned, spec: TuneSpec, base_path: Path) -> Tuned:
    """The same, computed in fp32: what the served model is compared with. Adapters that were
    trained on a base in four bits are measured on the base itself, as that is what is served; where
    all weights have learned, the base is loaded once more to compare with."""
    if spec.method is Method.FULL:
        return tuned._replace(before=Scorer.of(methods.load_model(spec, base_path, tuned.machine)))
    exact = tuned.machine.dtype == "float32" and spec.method is not Method.QLORA
    if exact and not tuned.sharded:
        return tuned
    plain = spec.model_copy(update={"method": Method.LORA, "dtype": "auto"})
    # On the CPU: beside the trained one, a GPU seldom has room for a base in fp32.
    on_cpu = replace(tuned.machine, device="cpu", dtype="float32")
    again = load(plain, base_path, on_cpu, pack=False)
    with torch.no_grad():
        again.learned.flat.copy_(tuned.learned.flat)
    return again


@torch.no_grad()
def _check_untouched(scorer: Scorer, before: Tensor) -> None:
    """Adapters that are off change nothing; what reads weights past its layers shows here."""
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


def evaluate(
    objective: Objective,
    samples: Samples,
    *,
    group: Group | None = None,
    lanes: Lanes[Round] | None = None,
    tell: Callable[[int, int], None] = lambda done, n: None,
) -> Measured:
    """Sums over every unit of `samples`, of which each process of the group measures a share.

    `tell` hears how many units of how many this process has measured.

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
    n_units = int(objective.n_units(samples).sum()) // group.size
    parts = []
    batches = rounds(group, mine, idle=lambda: objective.batches([samples[useful[0]]]))
    with closing(_measured(objective, batches, lanes)) as found:
        for measured in found:
            parts.append(measured)
            tell(sum(part.n for part in parts), n_units)
    return _added([Measured(*part) for part in group.everyones(_added(parts))])


def _measured(
    objective: Objective, batches: Iterator[Round], lanes: Lanes[Round] | None
) -> Generator[Measured, None, None]:
    def compute(number: int, batch: Round) -> Measured:
        measured = objective.measure(batch.batch)
        return measured if batch.counts else NOTHING

    if lanes is None:
        yield from starmap(compute, enumerate(batches))
    else:
        yield from lanes.each(batches, compute)


def _added(parts: Sequence[Measured]) -> Measured:
    correct = [part.n_correct for part in parts if part.n_correct is not None]
    return Measured(
        nll=sum(part.nll for part in parts),
        n_correct=sum(correct) if correct else None,
        n=sum(part.n for part in parts),
        measures=summed(part.measures for part in parts),
    )
