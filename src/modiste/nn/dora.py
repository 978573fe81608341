"""DoRA (arXiv:2402.09353): the length of each row of a weight learns apart from its direction.

y = b + m / |V| * V x with V = W + scaling * B A and |V| the lengths of its rows, which get no
gradient (section 4.3 there). V is never made: its lengths follow from W A^T, which costs one
product with R rows. Forward and gradients equal PEFT's; in training, dropout reaches W's input too,
as there.

Legend: N rows (tokens), I inputs, O outputs, R rank.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from modiste.nn.dropout import Dropout
from modiste.nn.lanes import here
from modiste.nn.lora_linear import LoraLinear, Matrix, frozen_product


class DoraLinear(LoraLinear):
    magnitude: nn.Parameter

    def __init__(
        self,
        base: Matrix,
        *,
        lora_A: nn.Parameter,
        lora_B: nn.Parameter,
        scaling: float,
        lengths_O: Tensor,
        bias_O: Tensor | None,
        dropout: Dropout,
        name: str,
    ) -> None:
        """`lengths_O` are those of W's rows in fp32."""
        super().__init__(base, lora_A=lora_A, lora_B=lora_B, scaling=scaling)
        self.squares_O = lengths_O.square()
        self.bias_O = None if bias_O is None else bias_O.detach().to(lora_A.dtype)
        self.dropout, self.name = dropout, name

    def begin(self, magnitude: nn.Parameter) -> None:
        """Give it the parameter that will hold the lengths, and set it to those there are."""
        with torch.no_grad():
            magnitude.copy_(self.squares_O.sqrt())
        self.magnitude = magnitude

    def forward(self, x: Tensor) -> Tensor:
        x_NI = x.reshape(-1, x.shape[-1])
        if not self.enabled:
            y_NO = frozen_product(x_NI, self.base)
        elif self.dropout.drops:
            y_NO = frozen_product(x_NI, self.base)
            y_NO = y_NO + self._change(x_NI).to(y_NO.dtype)
        else:
            parts = (here(self.lora_A), here(self.lora_B), here(self.magnitude))
            y_NO = cast(Any, _DoraProduct).apply(x_NI, *parts, self)
        return y_NO.view(*x.shape[:-1], y_NO.shape[-1])

    def _change(self, x_NI: Tensor) -> Tensor:
        """What is added to the base's output, of the input as dropout leaves it."""
        low_NI = self.dropout(x_NI.to(self.lora_A.dtype), self.name)
        base_NO = frozen_product(low_NI.to(x_NI.dtype), self.base).to(self.lora_A.dtype)
        if self.bias_O is not None:
            base_NO = base_NO - self.bias_O
        scale_O = here(self.magnitude) / self.lengths()
        delta_NO = low_NI @ here(self.lora_A).t() @ here(self.lora_B).t() * self.scaling
        return (scale_O - 1) * base_NO + scale_O * delta_NO

    @torch.no_grad()
    def lengths(self) -> Tensor:
        """(O,) of the rows of W + scaling * B A."""
        A_RI, B_OR, scaling = self.lora_A, self.lora_B, self.scaling
        dtype = getattr(self.base, "dtype", A_RI.dtype)
        cross_OR = self.base.up(A_RI.to(dtype)).to(A_RI.dtype).t()
        if self.bias_O is not None:
            cross_OR = cross_OR - self.bias_O[:, None]
        mixed_O = (cross_OR * B_OR).sum(1)
        low_O = ((B_OR @ (A_RI @ A_RI.t())) * B_OR).sum(1)
        squares_O = self.squares_O + 2 * scaling * mixed_O + scaling**2 * low_O
        return squares_O.clamp_min(torch.finfo(squares_O.dtype).tiny).sqrt()


class _DoraProduct(torch.autograd.Function):
    """b + scale * (W x + scaling * B (A x)); keeps its output instead of what scale multiplies."""

    @staticmethod
    def forward(
        ctx: Any, x_NI: Tensor, A_RI: Tensor, B_OR: Tensor, magnitude_O: Tensor, layer: DoraLinear
    ) -> Tensor:
        scale_O = magnitude_O / layer.lengths()
        y_NO = layer.base.up(x_NI)
        h_NR = x_NI.to(A_RI.dtype) @ A_RI.t()
        scaled_NO = (h_NR @ B_OR.t()).mul_(layer.scaling).add_(y_NO)
        if layer.bias_O is not None:
            scaled_NO.sub_(layer.bias_O)
        scaled_NO.mul_(scale_O)
        out_NO = (scaled_NO if layer.bias_O is None else scaled_NO.add_(layer.bias_O)).to(
            y_NO.dtype
        )
        ctx.save_for_backward(x_NI, h_NR, A_RI, B_OR, magnitude_O, scale_O, out_NO)
        ctx.layer = layer
        return out_NO

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x_NI, h_NR, A_RI, B_OR, magnitude_O, scale_O, out_NO = ctx.saved_tensors
        layer, dy_NO = ctx.layer, grads[0].to(A_RI.dtype)
        scaled_NO = out_NO if layer.bias_O is None else out_NO - layer.bias_O
        tiny = torch.finfo(magnitude_O.dtype).tiny  # where a length is zero, so is what it scaled
        safe_O = torch.where(magnitude_O.abs() < tiny, tiny, magnitude_O)
        dmagnitude_O = (dy_NO * scaled_NO).sum(0) / safe_O
        du_NO = dy_NO * scale_O
        dh_NR = (du_NO @ B_OR).mul_(layer.scaling)
        dA_RI = dh_NR.t() @ x_NI.to(A_RI.dtype)
        dB_OR = (du_NO.t() @ h_NR).mul_(layer.scaling)
        if not ctx.needs_input_grad[0]:
            return None, dA_RI, dB_OR, dmagnitude_O, None
        dx_NI = layer.base.down(du_NO.to(grads[0].dtype))
        dx_NI += (dh_NR @ A_RI).to(dx_NI.dtype)
        return dx_NI, dA_RI, dB_OR, dmagnitude_O, None
