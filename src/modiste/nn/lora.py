"""LoRA on any transformers model: what is adapted, and all of it as one flat vector.

`attach` replaces layers in place by adapted ones (lora_linear.py, dora.py, experts.py) whose base
weight is frozen and whose A and B are views into one flat parameter with one flat gradient: the
optimiser, the norm and a checkpoint each touch one tensor. A is drawn uniformly as PEFT draws it
(Kaiming, a = sqrt 5), from a generator seeded by the run and the layer's name; B starts at zero, so
the first forward equals the base's. The output head, embeddings and routers are never adapted.

Legend: I inputs, O outputs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from modiste.errors import InvalidInput
from modiste.nn.adapter_io import PeftAdapter
from modiste.nn.adapters import Adapters, Settings
from modiste.nn.dora import DoraLinear
from modiste.nn.dropout import Dropout, DroppedLora, seeded
from modiste.nn.experts import ExpertsLora, FrozenExperts
from modiste.nn.flat import Flat, slices
from modiste.nn.frozen import FrozenMatrix
from modiste.nn.lora_linear import LoraLinear, Matrix
from modiste.nn.quantized import QuantizedLinear
from modiste.nn.sharded import matrix_of, refuse_spread, whole
from modiste.nn.targets import (
    ALL_LINEAR,
    Linear,
    Targets,
    as_peft,
    as_peft_parameters,
    chosen,
)

__all__ = ["ALL_LINEAR", "Adapters", "LoraLinear", "attach", "attach_like"]


def attach(
    model: PreTrainedModel,
    *,
    rank: int,
    scaling: float,
    targets: Literal["all-linear"] | Sequence[str] = ALL_LINEAR,
    seed: int = 0,
    pack: bool = True,
    dropout: float = 0.0,
    rslora: bool = False,
    dora: bool = False,
    beside: int = 0,
) -> Adapters:
    """Replace the target layers of `model` in place; `pack` trades memory for speed.

    Args:
        beside: values of the vector that are left for others, in `Adapters.room`.

    Raises:
        InvalidInput: a target that names no linear layer; the message lists the ones there are.
    """
    settings = Settings(
        rank, scaling, Dropout(dropout, seed=seed), rslora=rslora, dora=dora, pack=pack, seed=seed
    )
    found = chosen(model, targets)
    return _attached(model, found, settings, targets, beside=beside)


def attach_like(
    model: PreTrainedModel,
    adapter: PeftAdapter,
    *,
    seed: int = 0,
    pack: bool = True,
    dropout: float = 0.0,
) -> Adapters:
    """The layers, ranks and scalings of an adapter that is there, and its weights.

    Raises:
        InvalidInput: it adapts layers that the model does not have, or of other sizes.
    """
    found = chosen(model, list(adapter.layers))
    ranks = {name: layer.A_RI.shape[-2] for name, layer in adapter.layers.items()}
    scalings = {name: layer.scaling for name, layer in adapter.layers.items()}
    rank, scaling = _most_common(ranks.values()), _most_common(scalings.values())
    settings = Settings(
        rank,
        scaling,
        Dropout(dropout, seed=seed),
        rslora=adapter.rslora,
        dora=adapter.dora,
        pack=pack,
        seed=seed,
        ranks={name: other for name, other in ranks.items() if other != rank},
        scalings={name: other for name, other in scalings.items() if other != scaling},
    )
    adapters = _attached(model, found, settings, ())
    adapters.load(
        {name: (layer.A_RI, layer.B_OR) for name, layer in adapter.layers.items()},
        {n: layer.magnitude_O for n, layer in adapter.layers.items()
         if layer.magnitude_O is not None},
    )  # fmt: skip
    return adapters


def _most_common(values: Any) -> Any:
    counted = list(values)
    return max(sorted(set(counted)), key=counted.count)


def _attached(
    model: PreTrainedModel,
    found: Targets,
    settings: Settings,
    targets: Literal["all-linear"] | Sequence[str],
    *,
    beside: int = 0,
) -> Adapters:
    if settings.dora and found.experts:
        raise InvalidInput(
            f"lora.dora: the experts of {type(model).__name__} cannot be adapted with DoRA, as "
            "PEFT would not load them; name other layers in lora.targets or leave DoRA off"
        )
    everything = chosen(model, ALL_LINEAR)
    held = {name: _frozen_experts(model, name, pack=settings.pack) for name in found.experts}
    flat = Flat(_size(found, held, settings) + beside, device=_device(found, held))
    modules: dict[str, LoraLinear | ExpertsLora] = {}
    for name, layer in found.linear.items():
        modules[name] = adapted = _linear(name, layer, flat, settings)
        model.set_submodule(name, adapted)
    for name, parameters in found.experts.items():
        for parameter in parameters:
            full = f"{name}.{parameter}"
            modules[full] = adapter = _experts(full, held[name].shapes[parameter], flat, settings)
            held[name].adapters[parameter] = adapter
    for module in modules.values():  # behind all matrices: they are not decayed
        if isinstance(module, DoraLinear):
            module.begin(flat.take(module.squares_O.numel()))
    return Adapters(
        flat,
        modules,
        settings,
        targets=as_peft(list(found.linear), list(everything.linear), targets),
        parameters=as_peft_parameters(found, everything),
    )


def _size(found: Targets, held: Mapping[str, FrozenExperts], settings: Settings) -> int:
    size = 0
    for name, layer in found.linear.items():
        size += settings.rank_of(name) * (layer.in_features + layer.out_features)
        size += layer.out_features if settings.dora else 0
    for name, parameters in found.experts.items():
        for parameter in parameters:
            experts, outputs, inputs = held[name].shapes[parameter]
            size += experts * settings.rank_of(f"{name}.{parameter}") * (inputs + outputs)
    return size


def _device(found: Targets, held: Mapping[str, FrozenExperts]) -> torch.device:
    for layer in found.linear.values():
        return layer.device if isinstance(layer, QuantizedLinear) else layer.weight.device
    device: torch.device = next(iter(held.values())).device
    return device


def _frozen_experts(model: PreTrainedModel, name: str, *, pack: bool) -> FrozenExperts:
    module = model.get_submodule(name)
    for weight in module.parameters():
        refuse_spread(weight, "experts")
    if not isinstance(module, FrozenExperts):
        module = FrozenExperts(module, matrix=lambda w_OI: FrozenMatrix(w_OI, pack=pack))
        model.set_submodule(name, module)
    return module


def _linear(name: str, layer: Linear, flat: Flat, settings: Settings) -> LoraLinear:
    rank = settings.rank_of(name)
    a, b = flat.take(rank, layer.in_features), flat.take(layer.out_features, rank)
    _initialise(a, name=name, seed=settings.seed)
    parts: dict[str, Any] = {"lora_A": a, "lora_B": b, "scaling": settings.scaling_of(name)}
    lengths = row_lengths(layer) if settings.dora else None
    if isinstance(layer, QuantizedLinear):
        base: Matrix = layer.base
        bias = layer.base.bias_O
    else:
        base, bias = matrix_of(layer, pack=settings.pack), layer.bias
    if lengths is not None:
        return DoraLinear(
            base, **parts, lengths_O=lengths, bias_O=bias, dropout=settings.dropout, name=name
        )
    if settings.dropout.share:
        return DroppedLora(base, **parts, dropout=settings.dropout, name=name)
    return LoraLinear(base, **parts)


def _experts(name: str, shape: tuple[int, ...], flat: Flat, settings: Settings) -> ExpertsLora:
    experts, outputs, inputs = shape
    rank = settings.rank_of(name)
    a, b = flat.take(experts, rank, inputs), flat.take(experts, outputs, rank)
    _initialise(a, name=name, seed=settings.seed)
    return ExpertsLora(
        lora_A=a,
        lora_B=b,
        each=list(zip(slices(a), slices(b), strict=True)),
        scaling=settings.scaling_of(name),
        dropout=settings.dropout,
        name=name,
    )


def row_lengths(layer: Linear) -> Tensor:
    """(O,) in fp32"""
    if isinstance(layer, QuantizedLinear):
        weight_OI = layer.base.dequantize()
    else:
        weight_OI = whole(layer.weight)
    lengths_O: Tensor = torch.linalg.vector_norm(weight_OI.float(), dim=1)
    return lengths_O


def _initialise(a: nn.Parameter, *, name: str, seed: int) -> None:
    bound = 1 / math.sqrt(a.shape[-1])  # kaiming_uniform with a = sqrt 5
    values = torch.rand(a.shape, generator=seeded(f"{seed}:{name}")).mul_(2 * bound).sub_(bound)
    with torch.no_grad():
        a.copy_(values)
