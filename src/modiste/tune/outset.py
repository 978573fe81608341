"""What a run starts from: the spec with every step counted, the model, the data in its order.

And a name for all of it, so that a checkpoint is only ever taken up by the run that it belongs to.
Nothing here has trained anything yet; `sft` goes on from here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modiste.errors import TuningFailed
from modiste.nn.base import BaseInfo, Layout, describe_base, safetensors_header, weight_files
from modiste.nn.heads_file import n_labels
from modiste.tune import resume
from modiste.tune.asked import undecidable
from modiste.tune.classify import Classify, label_counts, label_weights
from modiste.tune.machine import Machine
from modiste.tune.mixture import Mixture, Samples, Source
from modiste.tune.objective import NextToken, Objective
from modiste.tune.plan import plan
from modiste.tune.preference import Preference
from modiste.tune.spec import Objective as Wanted
from modiste.tune.spec import TuneSpec
from modiste.tune.tuned import Tuned, load

BETAS = (0.9, 0.95)
EPSILON = 1e-8
ELSEWHERE = {"trackers", "output_dir", "export"}
"""Fields of the spec that change no number of a run."""


@dataclass(frozen=True)
class Outset:
    spec: TuneSpec
    """Complete: nothing is left to the plan."""
    tuned: Tuned
    objective: Objective
    mixture: Mixture
    units: tuple[NDArray[np.int64], ...]
    """Of each source's samples."""
    targets: tuple[NDArray[np.int64], ...]
    """Trained tokens of each source's samples."""
    base: BaseInfo
    optimizer: torch.optim.AdamW
    belongs_to: str
    """Equal for two runs that compute the same numbers."""


def begin(
    spec: TuneSpec,
    base_path: Path,
    *,
    sources: Sequence[Source],
    validation: Samples,
    machine: Machine,
    sharded: bool,
) -> Outset:
    """Load everything a run needs.

    Args:
        sharded: the base is spread over the processes of the group.

    Raises:
        TuningFailed: the best of no evaluations is asked for, or the data makes no step.
        InvalidInput: the base cannot be loaded, or the spec names layers it does not have.
    """
    if not len(validation):
        _refuse_undecidable(spec)
    spec = _completed(spec, base_path, sources)
    belongs_to = _fingerprint(spec, base_path, sources, validation, machine)
    torch.manual_seed(spec.seed)
    tuned = load(spec, base_path, machine, sharded=sharded)
    objective = _objective(spec, sources, tuned, machine)
    units = tuple(objective.n_units(source.samples) for source in sources)
    mixture = Mixture(
        sources,
        units=units,
        seed=spec.seed,
        max_length=cast(int, spec.max_length) * objective.conversations,
        batch_size=cast(int, spec.batch_size),
    )
    return Outset(
        spec=spec,
        tuned=tuned,
        objective=objective,
        mixture=mixture,
        units=units,
        targets=tuple(source.samples.n_targets() for source in sources),
        base=describe_base(base_path),
        optimizer=_optimizer(spec, tuned),
        belongs_to=belongs_to,
    )


def _refuse_undecidable(spec: TuneSpec) -> None:
    told = undecidable(spec, give="give data.validation")
    if told:
        raise TuningFailed(" ".join(told.values()), code="no_validation")


def _objective(
    spec: TuneSpec, sources: Sequence[Source], tuned: Tuned, machine: Machine
) -> Objective:
    """What the spec wants; where it leaves that open, what the samples are for."""
    if tuned.heads is not None:
        return Classify(tuned.scorer, tuned.heads, machine, spec, weights_of(spec, sources))
    pairs = any(source.samples.has_pairs for source in sources)
    wanted = spec.objective or (Wanted.DPO if pairs else Wanted.SFT)
    if wanted is Wanted.DPO:
        return Preference(tuned.scorer, machine, spec.dpo)
    return NextToken(tuned.scorer, machine)


def weights_of(spec: TuneSpec, sources: Sequence[Source]) -> Tensor:
    """(L,) of a classifier's labels, from how many training rows hold each."""
    targets, data = spec.classifier_targets, [source.samples for source in sources]
    return label_weights(
        targets,
        label_counts(data, n_labels(targets)),
        sum(map(len, data)),
        balance=spec.classifier.balance,
    )


def _optimizer(spec: TuneSpec, tuned: Tuned) -> torch.optim.AdamW:
    """Its own weight decay is off: the recipe decays, and not everything."""
    return torch.optim.AdamW(
        [tuned.learned.flat],
        lr=spec.learning_rate,
        betas=BETAS,
        eps=EPSILON,
        weight_decay=0.0,
        fused=True,
    )


def _completed(spec: TuneSpec, base_path: Path, sources: Sequence[Source]) -> TuneSpec:
    """The plan's spec, for callers that come without one."""
    if None not in (spec.max_steps, spec.batch_size, spec.max_length, spec.checkpoint_steps):
        return (
            spec
            if spec.eval_steps
            else spec.model_copy(update={"eval_steps": spec.checkpoint_steps})
        )
    lengths = [length for source in sources for length in source.samples.lengths.tolist()]
    return plan(
        spec,
        n_tokens=sum(lengths),
        n_examples=len(lengths),
        longest=max(lengths, default=0),
        base=describe_base(base_path),
    ).spec


def _fingerprint(
    spec: TuneSpec,
    base_path: Path,
    sources: Sequence[Source],
    validation: Samples,
    machine: Machine,
) -> str:
    """Of all that the numbers depend on; weight files by size and header, as hashing gigabytes
    would cost more than it protects."""
    info = describe_base(base_path)
    files = weight_files(base_path, Layout(info.layout))
    parts: list[object] = [spec.model_dump(mode="json", exclude=ELSEWHERE), str(machine)]
    parts += [[file.stat().st_size, safetensors_header(file)] for file in files]
    for samples in (*(source.samples for source in sources), validation):
        flat = (samples.ids, samples.mask, samples.lengths, samples.splits)
        parts += [array.tobytes() for array in flat]
        if samples.held is not None:
            parts += [samples.held.tobytes(), samples.held_starts.tobytes()]
    return resume.fingerprint_of([source.weight for source in sources], *parts)
