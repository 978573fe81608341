"""Which layers of a model LoRA adapts: by suffix, whole name or regular expression.

Every linear layer but the output head can be, and the experts of a mixture, which transformers
keeps as one three-dimensional parameter for all of them (experts.py). Names are matched as PEFT
matches `target_modules` and `target_parameters`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, cast

from torch import nn
from transformers import PreTrainedModel

from modiste.errors import InvalidInput
from modiste.nn.adapter_io import PARAMETERS
from modiste.nn.experts import FrozenExperts, is_experts
from modiste.nn.quantized import QuantizedLinear

ALL_LINEAR: Literal["all-linear"] = "all-linear"

Linear = nn.Linear | QuantizedLinear


class Targets(NamedTuple):
    linear: dict[str, Linear]
    """Full name to layer, in model order."""
    experts: dict[str, tuple[str, ...]]
    """Full name of the module that holds them, to its parameters that are adapted."""

    @property
    def names(self) -> list[str]:
        return [*self.linear, *(f"{m}.{p}" for m, parameters in self.experts.items()
                                for p in parameters)]  # fmt: skip


def linear_layers(model: PreTrainedModel) -> dict[str, Linear]:
    """All that could be adapted, by full name."""
    head = cast(Any, model).get_output_embeddings()
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, Linear) and module is not head
    }


def expert_modules(model: PreTrainedModel) -> dict[str, nn.Module]:
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, FrozenExperts) or is_experts(module)
    }


def chosen(model: PreTrainedModel, targets: Literal["all-linear"] | Sequence[str]) -> Targets:
    """What `targets` names in this model.

    Raises:
        InvalidInput: a target that names nothing; the message lists what there is.
    """
    linear = linear_layers(model)
    experts: dict[str, tuple[str, ...]] = {name: PARAMETERS for name in expert_modules(model)}
    everything = Targets(linear, experts)
    if not everything.names:
        raise InvalidInput(f"{type(model).__name__} has no linear layers that LoRA could adapt")
    if targets == ALL_LINEAR:
        return everything
    unused = [t for t in targets if not any(matches(name, t) for name in everything.names)]
    if unused:
        known = ", ".join(sorted({name.rpartition(".")[2] for name in everything.names}))
        raise InvalidInput(
            f"lora.targets: {', '.join(unused)} names no linear layer of "
            f"{type(model).__name__}; there are {known}"
        )

    def wanted(name: str) -> bool:
        return any(matches(name, target) for target in targets)

    some = {m: tuple(p for p in PARAMETERS if wanted(f"{m}.{p}")) for m in experts}
    return Targets(
        {name: layer for name, layer in linear.items() if wanted(name)},
        {name: parameters for name, parameters in some.items() if parameters},
    )


def matches(name: str, target: str) -> bool:
    """A whole name, the end of one behind a dot, or a pattern for a whole name."""
    if name == target or name.endswith(f".{target}"):
        return True
    if not set(target) & set("*+?[](){}|^$\\"):
        return False
    try:
        return re.fullmatch(target, name) is not None
    except re.error as error:
        raise InvalidInput(
            f"lora.targets: {target!r} is not a regular expression ({error}); escape it or give "
            "the layer's name"
        ) from None


def as_peft(
    names: Sequence[str], all_names: Sequence[str], targets: Literal["all-linear"] | Sequence[str]
) -> tuple[str, ...]:
    """Suffixes or names that select exactly `names` among `all_names`, as PEFT reads lists."""
    asked = [t for t in targets if _selected([t], names)] if targets != ALL_LINEAR else []
    for suffixes in (asked, sorted({name.rpartition(".")[2] for name in names})):
        if names and _selected(suffixes, all_names) == list(names):
            return tuple(suffixes)
    return tuple(sorted(names))


def as_peft_parameters(found: Targets, everything: Targets) -> tuple[str, ...]:
    """The same for parameters: by their last three parts where that selects exactly those."""

    def flat(targets: Targets) -> list[str]:
        return [f"{m}.{p}" for m, parameters in targets.experts.items() for p in parameters]

    names = flat(found)
    suffixes = sorted({".".join(name.split(".")[-3:]) for name in names})
    return tuple(suffixes if _selected(suffixes, flat(everything)) == names else sorted(names))


def _selected(suffixes: Sequence[str], names: Sequence[str]) -> list[str]:
    return [n for n in names if any(n == s or n.endswith(f".{s}") for s in suffixes)]
