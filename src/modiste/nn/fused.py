"""Layers that read the same input computed together, with gradients written by hand.

`fuse` looks at what it finds, not at families' names: q, k and v of an attention and the three
linear layers of a gated MLP, where each is a plain LoraLinear; and RMS norms. Siblings share one
product with their stacked A and one buffer for the input's gradient; the MLP keeps its input, gate
and up, and computes their product again in the backward; a norm keeps its input. A patched module
gives the values and gradients of the unpatched one up to rounding: what a probe on the spot cannot
confirm is left as it is, and so is any other module.

Legend: N rows (tokens), I inputs, F inner size, O outputs, R rank, S sum of the siblings' ranks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modiste.nn.lanes import here
from modiste.nn.lora_linear import LoraLinear, Matrix
from modiste.nn.rms_norm import rms_norm

PROBE_ROWS = 5
PROBE_TOLERANCE = 2e-2
"""Relative, in bf16 as in fp32: another formula is off by far more."""


class Fusion(NamedTuple):
    """How many modules of each kind were patched."""

    attentions: int
    mlps: int
    norms: int


def fuse(model: nn.Module) -> Fusion:
    """Patch `model` in place; calling it again changes nothing."""
    attentions = mlps = norms = 0
    trusted: dict[tuple[type, str], bool] = {}
    for module in model.modules():
        if "forward" in vars(module):
            continue
        if _plain(module, "q_proj", "k_proj", "v_proj"):
            attentions += _join(module)
        elif _plain(module, "gate_proj", "up_proj", "down_proj"):
            mlps += _patch(module, _mlp(module), _width(module), trusted)
        elif "RMSNorm" in type(module).__name__ and _is_plain_norm(module):
            norms += _patch(module, _norm(module), len(cast(Tensor, module.weight)), trusted)
    return Fusion(attentions, mlps, norms)


def _plain(module: nn.Module, *names: str) -> bool:
    layers = [getattr(module, name, None) for name in names]
    return all(type(layer) is LoraLinear and "forward" not in vars(layer) for layer in layers)


def _width(module: nn.Module) -> int:
    return int(cast(Any, module).gate_proj.lora_A.shape[1])


def _patch(
    module: nn.Module,
    forward: Callable[[Tensor], Tensor],
    width: int,
    trusted: dict[tuple[type, str], bool],
) -> bool:
    """Put `forward` in place where it computes what the module computes; asked once per class."""
    parameter = next(module.parameters())
    key = (type(module), str(getattr(module, "act_fn", "")))
    if key not in trusted:
        dtype = parameter.dtype if parameter.dim() == 1 else torch.float32
        base = getattr(getattr(module, "gate_proj", None), "base", None)
        x = torch.randn(PROBE_ROWS, width, generator=torch.Generator().manual_seed(0))
        x = x.to(parameter.device, getattr(base, "dtype", dtype))
        with torch.no_grad():
            theirs, ours = module(x).float(), forward(x).float()
        distance = (theirs - ours).norm() / theirs.norm().clamp_min(1e-12)
        trusted[key] = bool(distance < PROBE_TOLERANCE)
    if trusted[key]:
        module.forward = forward
    return trusted[key]


# Siblings: q, k and v.


class _Siblings(threading.local):
    """What a thread has asked for and not yet taken."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.waiting: dict[int, Tensor] = {}


def _join(attention: nn.Module) -> bool:
    """The first of q, k and v that is asked computes all three; the others find theirs."""
    layers = [cast(LoraLinear, getattr(attention, name)) for name in ("q_proj", "k_proj", "v_proj")]
    thread = _Siblings()

    def forward(number: int, x: Tensor) -> Tensor:
        asked, waiting = thread.asked, thread.waiting
        now = [x._version, layers[0].lora_A._version, layers[0].enabled, torch.is_grad_enabled()]
        if not (asked and asked[0] is x and asked[1:] == now and number in waiting):
            asked[:] = [x, *now]
            outputs = products(x.reshape(-1, x.shape[-1]), layers)
            waiting.update((i, y.view(*x.shape[:-1], -1)) for i, y in enumerate(outputs))
        y = waiting.pop(number)
        if not waiting:
            asked.clear()
        return y

    for number, layer in enumerate(layers):
        layer.forward = lambda x, number=number: forward(number, x)  # type: ignore[method-assign,misc]
    return True


def products(x_NI: Tensor, layers: Sequence[LoraLinear]) -> tuple[Tensor, ...]:
    """What each layer makes of x, (N, O) each."""
    bases, scalings = [layer.base for layer in layers], _scalings(layers)
    low = _low(layers)
    outputs: tuple[Tensor, ...] = cast(Any, _Products).apply(x_NI, bases, scalings, *low)
    return outputs


def _low(layers: Sequence[LoraLinear]) -> list[Tensor]:
    """A and B of each."""
    return [here(matrix) for layer in layers for matrix in (layer.lora_A, layer.lora_B)]


def _scalings(layers: Sequence[LoraLinear]) -> list[float]:
    return [layer.scaling if layer.enabled else 0.0 for layer in layers]


class _Products(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x_NI: Tensor, bases: list[Matrix], scalings: list[float], *low: Tensor
    ) -> tuple[Tensor, ...]:
        outputs, h_NS = up_all(x_NI, bases, scalings, low)
        ctx.save_for_backward(x_NI, h_NS, *low)
        ctx.bases, ctx.scalings = bases, scalings
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x_NI, h_NS, *low = ctx.saved_tensors
        dys = [dy_NO.contiguous() for dy_NO in grads]
        dx_NI, dlow = down_all(
            dys, x_NI, h_NS, ctx.bases, ctx.scalings, low, wanted=ctx.needs_input_grad[0]
        )
        return dx_NI, None, None, *dlow


def up_all(
    x_NI: Tensor, bases: Sequence[Matrix], scalings: Sequence[float], low: Sequence[Tensor]
) -> tuple[list[Tensor], Tensor]:
    """Outputs, and x times the stacked A."""
    outputs = [base.up(x_NI) for base in bases]
    if not any(scalings):
        return outputs, x_NI.new_zeros(len(x_NI), sum(len(a_RI) for a_RI in low[::2]))
    stacked_SI = torch.cat([a_RI.to(x_NI.dtype) for a_RI in low[::2]])
    h_NS = x_NI @ stacked_SI.t()
    parts = torch.split(h_NS, [len(a_RI) for a_RI in low[::2]], dim=1)
    for y_NO, h_NR, b_OR, scaling in zip(outputs, parts, low[1::2], scalings, strict=True):
        if scaling:
            y_NO.addmm_(h_NR, b_OR.t().to(y_NO.dtype), alpha=scaling)
    return outputs, h_NS


def down_all(
    dys: Sequence[Tensor],
    x_NI: Tensor,
    h_NS: Tensor,
    bases: Sequence[Matrix],
    scalings: Sequence[float],
    low: Sequence[Tensor],
    *,
    wanted: bool,
) -> tuple[Tensor | None, list[Tensor]]:
    """Gradients of x (where `wanted`) and of every A and B."""
    ranks = [len(a_RI) for a_RI in low[::2]]
    dh_NS, dlow = torch.empty_like(h_NS), []
    for dy_NO, h_NR, dh_NR, b_OR, scaling in zip(
        dys,
        torch.split(h_NS, ranks, 1),
        torch.split(dh_NS, ranks, 1),
        low[1::2],
        scalings,
        strict=True,
    ):
        torch.mul(dy_NO @ b_OR.to(dy_NO.dtype), scaling, out=dh_NR)
        dlow.append((dy_NO.t() @ h_NR).to(b_OR.dtype).mul_(scaling))
    da_SI = (dh_NS.t() @ x_NI).to(low[0].dtype)
    gradients = [g for pair in zip(torch.split(da_SI, ranks), dlow, strict=True) for g in pair]
    if not wanted:
        return None, gradients
    dx_NI = bases[0].down(dys[0])
    for base, dy_NO in zip(bases[1:], dys[1:], strict=True):
        add_down(base, dy_NO, dx_NI)
    dx_NI.addmm_(dh_NS, torch.cat([a_RI.to(dx_NI.dtype) for a_RI in low[::2]]))
    return dx_NI, gradients


def add_down(base: Matrix, dy_NO: Tensor, dx_NI: Tensor) -> None:
    """dx += dy W, without another buffer where the matrix lies open."""
    plain_OI = getattr(base, "plain_OI", None)
    if plain_OI is None:
        dx_NI += base.down(dy_NO)
    else:
        dx_NI.addmm_(dy_NO, plain_OI)


# A gated MLP: down(silu(gate(x)) * up(x)).


def _mlp(module: nn.Module) -> Callable[[Tensor], Tensor]:
    layers = [
        cast(LoraLinear, getattr(module, name)) for name in ("gate_proj", "up_proj", "down_proj")
    ]

    def forward(x: Tensor) -> Tensor:
        bases, scalings = [layer.base for layer in layers], _scalings(layers)
        low = _low(layers)
        y_NO = cast(Any, _GatedMlp).apply(x.reshape(-1, x.shape[-1]), bases, scalings, *low)
        out: Tensor = y_NO.view(*x.shape[:-1], y_NO.shape[-1])
        return out

    return forward


class _GatedMlp(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x_NI: Tensor, bases: list[Matrix], scalings: list[float], *low: Tensor
    ) -> Tensor:
        (gate_NF, up_NF), h_NS = up_all(x_NI, bases[:2], scalings[:2], low[:4])
        inner_NF = F.silu(gate_NF).mul_(up_NF)
        (y_NO,), hd_NR = up_all(inner_NF, bases[2:], scalings[2:], low[4:])
        ctx.save_for_backward(x_NI, h_NS, gate_NF, up_NF, hd_NR, *low)
        ctx.bases, ctx.scalings = bases, scalings
        return y_NO

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x_NI, h_NS, gate_NF, up_NF, hd_NR, *low = ctx.saved_tensors
        bases, scalings = ctx.bases, ctx.scalings
        active_NF = F.silu(gate_NF)
        inner, dlow_down = down_all(
            [grads[0].contiguous()], active_NF * up_NF, hd_NR, bases[2:], scalings[2:], low[4:],
            wanted=True,
        )  # fmt: skip
        dinner_NF = cast(Tensor, inner)
        dup_NF = active_NF.mul_(dinner_NF)
        dgate_NF = torch.ops.aten.silu_backward(dinner_NF.mul_(up_NF), gate_NF)
        dx_NI, dlow = down_all(
            [dgate_NF, dup_NF], x_NI, h_NS, bases[:2], scalings[:2], low[:4],
            wanted=ctx.needs_input_grad[0],
        )  # fmt: skip
        return dx_NI, None, None, *dlow, *dlow_down


# RMS norms.


def _is_plain_norm(module: nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    plain = isinstance(weight, Tensor) and weight.dim() == 1 and not weight.requires_grad
    return plain and _epsilon(module) is not None


def _epsilon(module: nn.Module) -> float | None:
    found = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    return found if isinstance(found, float) else None


def _norm(module: nn.Module) -> Callable[[Tensor], Tensor]:
    weight, epsilon = cast(Tensor, module.weight), cast(float, _epsilon(module))
    return lambda x: rms_norm(x, weight, epsilon)
