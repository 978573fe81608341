"""LoRA on the linear layers of any transformers model: y = W x + scaling * B (A x).

`attach` replaces linear layers in place by `LoraLinear`, whose base weight is frozen (and packed,
see frozen.py) and whose A and B are views into one flat parameter with one flat gradient: the
optimiser, the norm and a checkpoint each touch one tensor. A is drawn uniformly as PEFT draws it
(Kaiming, a = sqrt 5), from a generator seeded by the run and the layer's name; B starts at zero, so
the first forward equals the base's. The output head and embeddings are never adapted.

Legend: N rows (tokens), I inputs, O outputs, R rank, P adapter parameters in all.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from modiste.errors import InvalidInput
from modiste.nn.adapter_io import save_peft
from modiste.nn.frozen import FrozenMatrix

ALL_LINEAR: Literal["all-linear"] = "all-linear"


class LoraLinear(nn.Module):
    """Stands where an nn.Linear stood. A (R, I) and B (O, R) are fp32 whatever the base's dtype."""

    def __init__(
        self, base: FrozenMatrix, *, lora_A: nn.Parameter, lora_B: nn.Parameter, scaling: float
    ) -> None:
        super().__init__()
        self.base = base
        self.lora_A = lora_A
        self.lora_B = lora_B
        self.scaling = scaling
        self.enabled = True

    def forward(self, x: Tensor) -> Tensor:
        x_NI = x.reshape(-1, x.shape[-1])
        scaling = self.scaling if self.enabled else 0.0
        y_NO = cast(Any, _Product).apply(x_NI, self.lora_A, self.lora_B, self.base, scaling)
        out: Tensor = y_NO.view(*x.shape[:-1], y_NO.shape[-1])
        return out


class _Product(torch.autograd.Function):
    """Hand-written, as autograd would keep and compute more: nothing is kept for W's gradient, and
    the input's gradient is one buffer that both paths write into."""

    @staticmethod
    def forward(
        ctx: Any, x_NI: Tensor, A_RI: Tensor, B_OR: Tensor, base: FrozenMatrix, scaling: float
    ) -> Tensor:
        y_NO = base.up(x_NI)
        if scaling == 0.0:
            return y_NO
        h_NR = x_NI.to(A_RI.dtype) @ A_RI.t()
        if y_NO.dtype == B_OR.dtype:
            y_NO.addmm_(h_NR, B_OR.t(), alpha=scaling)
        else:
            y_NO += (h_NR @ B_OR.t() * scaling).to(y_NO.dtype)
        ctx.save_for_backward(x_NI, h_NR, A_RI, B_OR)
        ctx.base, ctx.scaling = base, scaling
        return y_NO

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        dy_NO = grads[0].contiguous()
        x_NI, h_NR, A_RI, B_OR = ctx.saved_tensors
        dy32_NO = dy_NO.to(B_OR.dtype)
        dh_NR = (dy32_NO @ B_OR).mul_(ctx.scaling)
        dA_RI = dh_NR.t() @ x_NI.to(A_RI.dtype)
        dB_OR = (dy32_NO.t() @ h_NR).mul_(ctx.scaling)
        if not ctx.needs_input_grad[0]:
            return None, dA_RI, dB_OR, None, None
        dx_NI = ctx.base.down(dy_NO)
        if dx_NI.dtype == A_RI.dtype:
            dx_NI.addmm_(dh_NR, A_RI)
        else:
            dx_NI += (dh_NR @ A_RI).to(dx_NI.dtype)
        return dx_NI, dA_RI, dB_OR, None, None


class Adapters:
    """All adapters of one model: `flat` (P,) is what learns, `flat.grad` is always there."""

    def __init__(
        self,
        flat: nn.Parameter,
        modules: dict[str, LoraLinear],
        *,
        rank: int,
        targets: tuple[str, ...],
    ) -> None:
        self.flat = flat
        self.modules = modules
        self.rank = rank
        self.targets = targets
        """Names or suffixes that select these layers, as PEFT's target_modules."""

    @property
    def scaling(self) -> float:
        return next(iter(self.modules.values())).scaling

    def weights(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Module name to (A, B): live views, valid until the next step."""
        return {n: (m.lora_A.detach(), m.lora_B.detach()) for n, m in self.modules.items()}

    def load(self, weights: dict[str, tuple[Tensor, Tensor]]) -> None:
        """Copy (A, B) pairs in.

        Raises:
            InvalidInput: a module missing, superfluous, or of another shape.
        """
        wrong = sorted(set(weights) ^ set(self.modules))
        for name in set(weights) & set(self.modules):
            module, (a, b) = self.modules[name], weights[name]
            if a.shape != module.lora_A.shape or b.shape != module.lora_B.shape:
                wrong.append(f"{name} ({tuple(a.shape)}, {tuple(b.shape)})")
        if wrong:
            raise InvalidInput(f"this adapter does not fit the model: {', '.join(wrong[:5])}")
        with torch.no_grad():
            for name, (a, b) in weights.items():
                self.modules[name].lora_A.copy_(a)
                self.modules[name].lora_B.copy_(b)

    def zero_grad(self) -> None:
        cast(Tensor, self.flat.grad).zero_()

    def save(self, folder: Path, *, base: str) -> None:
        save_peft(
            folder,
            self.weights(),
            rank=self.rank,
            scaling=self.scaling,
            targets=self.targets,
            base=base,
        )

    @contextmanager
    def disabled(self) -> Iterator[None]:
        """The bare base inside the block."""
        for module in self.modules.values():
            module.enabled = False
        try:
            yield
        finally:
            for module in self.modules.values():
                module.enabled = True


def attach(
    model: PreTrainedModel,
    *,
    rank: int,
    scaling: float,
    targets: Literal["all-linear"] | Sequence[str] = ALL_LINEAR,
    seed: int = 0,
    pack: bool = True,
) -> Adapters:
    """Replace the target layers of `model` in place; `pack` trades memory for speed.

    Raises:
        InvalidInput: a target that names no linear layer; the message lists the ones there are.
    """
    found = target_layers(model, targets)
    sizes = [rank * (layer.in_features + layer.out_features) for layer in found.values()]
    device = next(iter(found.values())).weight.device
    flat = nn.Parameter(torch.zeros(sum(sizes), dtype=torch.float32, device=device))
    flat.grad = torch.zeros_like(flat)
    modules: dict[str, LoraLinear] = {}
    at = 0
    for (name, layer), size in zip(found.items(), sizes, strict=True):
        split = rank * layer.in_features
        a = _view(flat, at, (rank, layer.in_features))
        b = _view(flat, at + split, (layer.out_features, rank))
        _initialise(a, name=name, seed=seed)
        base = FrozenMatrix(layer.weight, layer.bias, pack=pack)
        modules[name] = LoraLinear(base, lora_A=a, lora_B=b, scaling=scaling)
        model.set_submodule(name, modules[name])
        at += size
    if targets == ALL_LINEAR:
        targets = sorted({name.rpartition(".")[2] for name in found})
    return Adapters(flat, modules, rank=rank, targets=tuple(targets))


def target_layers(
    model: PreTrainedModel, targets: Literal["all-linear"] | Sequence[str]
) -> dict[str, nn.Linear]:
    """Full name to layer, in model order; names match as PEFT matches them (whole or by suffix)."""
    head = cast(Any, model).get_output_embeddings()
    linear = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module is not head
    }
    if not linear:
        raise InvalidInput(f"{type(model).__name__} has no linear layers that LoRA could adapt")
    if targets == ALL_LINEAR:
        return linear
    names = list(targets)
    chosen = {
        name: layer
        for name, layer in linear.items()
        if any(name == target or name.endswith(f".{target}") for target in names)
    }
    unused = [t for t in names if not any(n == t or n.endswith(f".{t}") for n in chosen)]
    if unused:
        known = ", ".join(sorted({name.rpartition(".")[2] for name in linear}))
        raise InvalidInput(
            f"lora.targets: {', '.join(unused)} names no linear layer of "
            f"{type(model).__name__}; there are {known}"
        )
    return chosen


def _view(flat: nn.Parameter, at: int, shape: tuple[int, int]) -> nn.Parameter:
    """A leaf of its own whose values and gradient lie inside the flat ones."""
    end = at + shape[0] * shape[1]
    part = nn.Parameter(flat.detach()[at:end].view(shape))
    part.grad = cast(Tensor, flat.grad)[at:end].view(shape)
    return part


def _initialise(a_RI: nn.Parameter, *, name: str, seed: int) -> None:
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    bound = 1 / math.sqrt(a_RI.shape[1])  # kaiming_uniform with a = sqrt 5
    values = torch.rand(a_RI.shape, generator=generator).mul_(2 * bound).sub_(bound)
    with torch.no_grad():
        a_RI.copy_(values)
