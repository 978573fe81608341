"""A few seconds of real training steps, and from them the speed of a run on this machine.

The recipe's own loading, layers, loss and optimiser run on random tokens in samples of the job's
length. A small base is measured whole. Of a large one, which would take minutes to load, two short
models of its shape are made (one layer, and three) and the rest of the layers is counted on: a
layer costs what a layer costs. Nothing of it is kept but the speed.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from modiste.nn.base import BaseInfo, Layout, read_config
from modiste.tune.lanes import Lanes
from modiste.tune.loss import Batch, Document, collate
from modiste.tune.machine import Machine
from modiste.tune.memory import Load
from modiste.tune.spec import TuneSpec
from modiste.tune.speeds import ASSUMED_FLOPS, Speeds
from modiste.tune.tuned import load

WHOLE_PARAMETERS = 150_000_000
"""Up to here loading takes no longer than measuring."""
DEPTHS = (1, 3)
ONE_PASS_S = 1.0
"""About; a slower machine measures fewer tokens."""
PASSES = 3
ENOUGH_S = 2.5
FEWEST_TOKENS = 64
TRAINED_SHARE = 0.5


@dataclass(frozen=True)
class Cost:
    """Seconds per token."""

    trained: float
    forward: float
    update_s: float
    """Per step, of the parameters of this model."""


class Sample(NamedTuple):
    """What the rows are like."""

    mean: int
    """Tokens."""
    load: Load


def measure(
    spec: TuneSpec, base_path: Path, info: BaseInfo, sample: Sample, machine: Machine, scratch: Path
) -> Speeds:
    """`scratch` is a folder for short models; what is left there may go.

    Raises:
        ModisteError: the base cannot be loaded, or the spec does not fit it.
    """
    spec = spec.model_copy(update={"continue_from": None})
    if info.n_parameters <= WHOLE_PARAMETERS:
        cost = _of(spec, base_path, info, sample, machine)
        how = "measured on this machine just now"
    else:
        cost = _of_depths(spec, base_path, info, sample, machine, scratch)
        how = (
            f"measured on this machine just now with {DEPTHS[0]} and {DEPTHS[1]} layers of the base"
        )
    return Speeds(1 / cost.trained, 1 / cost.forward, cost.update_s, how, measured=True)


def _of_depths(
    spec: TuneSpec, base_path: Path, info: BaseInfo, sample: Sample, machine: Machine, scratch: Path
) -> Cost:
    """A straight line through two depths."""
    low, high = (
        _of(spec, _short(base_path, info, n, scratch / f"layers-{n}"), info, sample, machine, n)
        for n in DEPTHS
    )

    def at_full_depth(of: Callable[[Cost], float]) -> float:
        per_layer = max(0.0, of(high) - of(low)) / (DEPTHS[1] - DEPTHS[0])
        return of(low) + per_layer * (info.n_layers - DEPTHS[0])

    return Cost(
        at_full_depth(lambda cost: cost.trained),
        at_full_depth(lambda cost: cost.forward),
        at_full_depth(lambda cost: cost.update_s),
    )


def _of(
    spec: TuneSpec,
    base_path: Path,
    info: BaseInfo,
    sample: Sample,
    machine: Machine,
    n_layers: int | None = None,
) -> Cost:
    tuned = load(spec, base_path, machine)
    n_parameters = sum(p.numel() for p in tuned.scorer.model.parameters()) or info.n_parameters
    if n_layers is not None:
        n_parameters = round(info.n_parameters * (n_layers + 1) / (info.n_layers + 1))
    n_tokens = _how_many(n_parameters, sample.load, machine)
    batch = collate(_documents(sample, info, n_tokens), device=machine.device)
    lanes = Lanes[Batch](
        machine.lanes,
        tuned.learned.flat,
        threads=machine.threads,
        alone=lambda batch: machine.is_filled_by(batch.ids.numel()),
    )
    batches = [batch] * machine.lanes
    n_tokens = batch.ids.numel() * len(batches)

    def train() -> None:
        tuned.learned.zero_grad()
        deque(lanes.each(batches, learn), maxlen=0)

    def learn(_: int, batch: Batch) -> None:
        tuned.scorer.loss(batch).backward()  # type: ignore[no-untyped-call]

    def forward() -> None:
        deque(lanes.each(batches, lambda _, batch: tuned.scorer.measure(batch)), maxlen=0)

    optimizer = torch.optim.AdamW([tuned.learned.flat], lr=1e-9, fused=True)
    trained_s, forward_s = _fastest_s(train, machine), _fastest_s(forward, machine)
    lanes.close()
    update_s = _fastest_s(optimizer.step, machine)
    return Cost(trained_s / n_tokens, forward_s / n_tokens, update_s)


def _how_many(n_parameters: int, of: Load, machine: Machine) -> int:
    """As many tokens as a micro-batch has, or fewer where a pass would take long."""
    most = max(of.longest, min(machine.microbatch_tokens, of.tokens_per_step))
    if machine.device != "cpu":
        return most
    per_token = 4 * n_parameters
    return max(FEWEST_TOKENS, min(most, round(ONE_PASS_S * ASSUMED_FLOPS / per_token)))


def _documents(sample: Sample, info: BaseInfo, n_tokens: int) -> list[Document]:
    """Samples of the mean length with random tokens, half of them trained."""
    random = np.random.default_rng(0)
    length = max(8, min(sample.mean, n_tokens))
    return [
        Document(
            random.integers(0, info.vocab_size, length, dtype=np.int32),
            random.random(length) < TRAINED_SHARE,
        )
        for _ in range(max(1, n_tokens // length))
    ]


def _fastest_s(work: Callable[[], object], machine: Machine) -> float:
    """Of a few passes behind one that is not counted: others may be busy on this machine too."""
    seconds: list[float] = []
    until = time.monotonic() + ENOUGH_S
    work()
    while len(seconds) < PASSES and not (seconds and time.monotonic() > until):
        began = time.monotonic()
        work()
        if machine.device != "cpu":
            torch.cuda.synchronize()
        seconds.append(time.monotonic() - began)
    return min(seconds)


def _short(base_path: Path, info: BaseInfo, n_layers: int, into: Path) -> Path:
    """A folder with a model of this shape and few layers. Its values are of the right size only."""
    wanted: dict[str, Any] = dict(read_config(base_path, Layout(info.layout)))
    config = AutoConfig.for_model(wanted.pop("model_type"), **wanted)
    text = config.get_text_config()
    text.num_hidden_layers = n_layers
    for name in ("layer_types", "mlp_layer_types"):
        if getattr(text, name, None):
            setattr(text, name, list(getattr(text, name))[:n_layers])
    with torch.device("meta"):
        model = cast(Any, AutoModelForCausalLM).from_config(config, dtype=torch.bfloat16)
    model.to_empty(device="cpu")
    some = torch.randn(1 << 20, generator=torch.Generator().manual_seed(0)).mul_(0.02).bfloat16()
    with torch.no_grad():
        for parameter in model.parameters():
            _fill(parameter, some)
        for buffer in model.buffers():
            buffer.zero_()
    model.save_pretrained(into)
    return into


def _fill(parameter: Tensor, some: Tensor) -> None:
    flat = parameter.view(-1)
    for at in range(0, flat.numel(), some.numel()):
        part = flat[at : at + some.numel()]
        part.copy_(some[: part.numel()])
