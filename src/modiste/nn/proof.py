"""Logits of exported files beside those of base and adapter: the proof of an export.

Three computations, all in float32. *Trained*: the base with the adapter's products added to its
layers as they run, never merged. *Intended*: the weights that the form is meant to hold, made in
memory and rounded as it rounds. *Found*: the files, read the way their users read them. Found must
equal intended up to the order of sums; intended apart from trained is what the form's number format
costs, and is told. An adapter whose effect is as small as that cost proves nothing, and that is
said too.

Legend: N positions of all prompts, V vocabulary.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, cast

import psutil
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from modiste.nn.base import BaseInfo
from modiste.nn.changes import Change
from modiste.nn.loading import load_base

N_PROMPTS, PROMPT_TOKENS = 4, 24
SAME = 1e-4
"""Largest difference of equal weights, as a share of the logits' standard deviation: they are added
in other orders (1e-6 to 2e-5 measured). A lost layer or a wrong rotary order shows as 0.1 to 3."""
TOO_SMALL = 2.0
"""An adapter must move some logit by this many times what was found apart, or nothing is proven."""
EXPERT = re.compile(
    r"(?P<layer>model\.layers\.\d+)\.(block_sparse_moe|mlp)\.experts\.(?P<expert>\d+)\."
    r"(?P<which>w[123]|gate_proj|up_proj|down_proj)"
)
Logits = list[Tensor]
"""(N, V) per prompt."""


@dataclass(frozen=True)
class Verified:
    """What was found in the files beside what they should hold, and what they were made from."""

    max_abs_diff: float
    """Between the logits of the files and those that were intended."""
    tolerance: float
    rounding: float
    """Largest difference that the form's number format makes to base and adapter."""
    adapter_effect: float | None
    """Largest difference that the adapter makes to the base; None without an adapter."""
    n_positions: int
    read_by: str
    """Which reader loaded the exported files: 'peft 0.21.2', 'transformers 5.23.0', ..."""

    def __str__(self) -> str:
        told = (
            f"verified with {self.read_by}: logits at {self.n_positions} positions at most "
            f"{self.max_abs_diff:.1e} apart (tolerance {self.tolerance:.1e})"
        )
        if self.rounding > self.tolerance:
            told += f"; rounding weights for this form moves logits by up to {self.rounding:.2g}"
        if self.adapter_effect is not None:
            told += f"; the adapter moves them by up to {self.adapter_effect:.2g}"
        return told


@dataclass(frozen=True)
class Apart:
    """The exported files compute something else."""

    reason: str


@dataclass(frozen=True)
class Unproven:
    """Nothing could be compared, or the comparison proves nothing."""

    reason: str


@dataclass(frozen=True)
class Reference:
    """What base and adapter compute on the prompts."""

    prompts: list[list[int]]
    trained: Logits
    bare: Logits | None
    """The base's own; None without an adapter."""
    intended: Logits
    """Of the weights that the form should hold."""

    @property
    def tolerance(self) -> float:
        return SAME * max(float(logits.std()) for logits in self.trained)


Intend = Callable[[PreTrainedModel, Mapping[str, Change]], None]
"""Give a bare base in float32 the weights that a form should hold."""


def reference(
    base: Path,
    changes: Mapping[str, Change],
    *,
    intend: Intend | None = None,
    prompts: Sequence[Sequence[int]] = (),
) -> Reference:
    """Without `prompts`, ids drawn from the whole vocabulary with a fixed seed."""
    model, info = load_base(base, dtype=torch.float32)
    asked = [list(prompt) for prompt in prompts if prompt] or random_prompts(info)
    bare = logits_of(model, asked) if changes else None
    apply(model, changes)
    trained = logits_of(model, asked)
    del model
    if intend is None:
        return Reference(asked, trained, bare, trained)
    fresh = load_base(base, dtype=torch.float32).model
    intend(fresh, changes)
    return Reference(asked, trained, bare, logits_of(fresh, asked))


def random_prompts(info: BaseInfo) -> list[list[int]]:
    generator = torch.Generator().manual_seed(20)
    length = min(PROMPT_TOKENS, info.max_context_length)
    ids = torch.randint(0, info.vocab_size, (N_PROMPTS, length), generator=generator)
    return [[int(token) for token in row] for row in ids]


@torch.inference_mode()
def logits_of(model: nn.Module, prompts: Sequence[Sequence[int]]) -> Logits:
    """One prompt at a time, in float32."""
    found = []
    for prompt in prompts:
        answer = cast(Any, model)(input_ids=torch.tensor([list(prompt)]), use_cache=False)
        found.append(answer.logits[0].float().clone())
    return found


def compare(wanted: Reference, found: Logits, *, read_by: str) -> Verified | Apart | Unproven:
    """Whether the files hold what they should, and whether the adapter can be seen in them."""
    tolerance = wanted.tolerance
    apart = _largest(wanted.intended, found)
    rounding = _largest(wanted.trained, wanted.intended)
    effect = None if wanted.bare is None else _largest(wanted.trained, wanted.bare)
    n = sum(len(prompt) for prompt in wanted.prompts)
    if not apart <= tolerance:  # a NaN is apart from everything
        return Apart(
            f"read with {read_by}, logits are up to {apart:.2g} apart from what they should be "
            f"(tolerance {tolerance:.2g})"
        )
    if effect is not None and 0.0 < effect < TOO_SMALL * max(rounding, apart):
        return Unproven(
            f"the adapter moves logits by at most {effect:.1e} and this form's rounding by "
            f"{rounding:.1e}: what is left of the adapter in these files cannot be told"
        )
    return Verified(apart, tolerance, rounding, effect, n, read_by)


def _largest(one: Logits, other: Logits) -> float:
    return max(float((a - b).abs().max()) for a, b in zip(one, other, strict=True))


def room_for(info: BaseInfo) -> str | None:
    """Why models of this size cannot be compared here, one after the other; None if they can."""
    needed = int(info.n_parameters * 4 * 1.3)
    free = int(psutil.virtual_memory().available)
    if needed <= free:
        return None
    return (
        f"comparing logits takes {needed / 1e9:.0f} GB of memory and {free / 1e9:.0f} GB are free"
    )


def apply(model: PreTrainedModel, changes: Mapping[str, Change]) -> None:
    """Every changed layer computes what its adapter says.

    LoRA's product is added to what the layer computes. An expert's matrices lie in one tensor with
    the others', and DoRA's lengths are those of the sum: there the weight itself is changed.
    """
    for name, change in changes.items():
        if expert := EXPERT.fullmatch(name):
            _set(_expert_weight(model, expert), change)
        elif change.magnitude_O is not None:
            _set(cast(Any, model.get_submodule(name)).weight, change)
        else:
            model.get_submodule(name).register_forward_hook(_adding(change))


def merge(model: PreTrainedModel, changes: Mapping[str, Change]) -> dict[str, Tensor]:
    """Add every change to its weight; what comes back are those weights, to be rounded."""
    weights = {}
    for name, change in changes.items():
        expert = EXPERT.fullmatch(name)
        weights[name] = (
            _expert_weight(model, expert)
            if expert
            else cast(Any, model.get_submodule(name)).weight.detach()
        )
        _set(weights[name], change)
    return weights


@torch.no_grad()
def _set(weight_OI: Tensor, change: Change) -> None:
    weight_OI.copy_(change.on(weight_OI))


def _expert_weight(model: PreTrainedModel, name: re.Match[str]) -> Tensor:
    """The part that belongs to one expert's matrix, a view."""
    experts = cast(Any, model.get_submodule(f"{name['layer']}.mlp.experts"))
    index, which = int(name["expert"]), name["which"]
    if which in ("w2", "down_proj"):
        return cast(Tensor, experts.down_proj[index])
    gate_OI, up_OI = experts.gate_up_proj[index].chunk(2)
    return cast(Tensor, gate_OI if which in ("w1", "gate_proj") else up_OI)


def _adding(change: Change) -> Callable[[nn.Module, tuple[Any, ...], Tensor], Tensor]:
    a_RI, b_OR, scaling = change.A_RI.float(), change.B_OR.float(), change.scaling

    def hook(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        product: Tensor = inputs[0] @ a_RI.t() @ b_OR.t()
        return output + product * scaling

    return hook


def reader(package: str) -> str | None:
    """'peft 0.21.2' where the package is installed."""
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return None
