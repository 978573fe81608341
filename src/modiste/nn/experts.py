"""The experts of a mixture, frozen, each with an adapter of its own where asked.

transformers keeps all experts of a layer as two parameters, `gate_up_proj` (E, 2F, D) and
`down_proj` (E, D, F). `FrozenExperts` stands where such a module stood and computes the same, one
expert's tokens after the other, each product like that of any adapted linear layer. The adapters
equal PEFT's `target_parameters`. The router is not adapted.

Legend: T tokens, k experts per token, S = T * k, D hidden size, F width of an expert, E experts,
I inputs, O outputs, R rank.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

from modiste.nn.adapter_io import PARAMETERS
from modiste.nn.dropout import Dropout, dropped_product
from modiste.nn.lanes import here
from modiste.nn.lora_linear import Matrix, frozen_product, lora_product


class ExpertsLora:
    """Adapters of one parameter: A (E, R, I), B (E, O, R), and the same expert by expert."""

    def __init__(
        self,
        *,
        lora_A: nn.Parameter,
        lora_B: nn.Parameter,
        each: list[tuple[nn.Parameter, nn.Parameter]],
        scaling: float,
        dropout: Dropout,
        name: str,
    ) -> None:
        """`each` are leaves whose values and gradients lie inside those of `lora_A`, `lora_B`."""
        self.lora_A, self.lora_B, self.each = lora_A, lora_B, each
        self.scaling = scaling
        self.dropout, self.name = dropout, name
        self.enabled = True

    def product(self, x_NI: Tensor, expert: int, base: Matrix) -> Tensor:
        A_RI, B_OR = map(here, self.each[expert])
        scaling = self.scaling if self.enabled else 0.0
        if not (self.enabled and self.dropout.drops):
            return lora_product(x_NI, A_RI, B_OR, base=base, scaling=scaling)
        return dropped_product(
            x_NI,
            A_RI,
            B_OR,
            base=base,
            scaling=scaling,
            mask=lambda like: self.dropout.mask(like, f"{self.name}.{expert}"),
        )


class FrozenExperts(nn.Module):
    """`matrices` has one entry per expert for each of `PARAMETERS`."""

    def __init__(self, module: nn.Module, *, matrix: Callable[[Tensor], Matrix]) -> None:
        """Takes over `module`, whose parameters are gone afterwards."""
        super().__init__()
        held = cast(Any, module)
        self.shapes = {name: tuple(getattr(held, name).shape) for name in PARAMETERS}
        self.device = held.down_proj.device
        self.matrices: dict[str, list[Matrix]] = {}
        for name in PARAMETERS:
            self.matrices[name] = [matrix(weight_OI) for weight_OI in getattr(held, name).detach()]
            delattr(held, name)
        self.gate: Callable[[Tensor], Tensor] = held._apply_gate
        self.adapters: dict[str, ExpertsLora] = {}

    def forward(self, hidden_TD: Tensor, top_k_index: Tensor, top_k_weights: Tensor) -> Tensor:
        n_per_token = top_k_index.shape[-1]
        order_S = torch.argsort(top_k_index.reshape(-1), stable=True)
        n_experts = self.shapes["down_proj"][0]
        counts = torch.bincount(top_k_index.reshape(-1), minlength=n_experts).tolist()
        sorted_SD = hidden_TD[order_S // n_per_token]
        done = [
            self._expert(expert, rows)
            for expert, rows in enumerate(torch.split(sorted_SD, counts))
            if len(rows)
        ]
        back_S = torch.empty_like(order_S)
        back_S[order_S] = torch.arange(len(order_S), device=order_S.device)
        out_TkD = torch.cat(done)[back_S].view(*top_k_index.shape, -1)
        return (out_TkD * top_k_weights[..., None]).sum(1).to(hidden_TD.dtype)

    def _expert(self, expert: int, rows_ND: Tensor) -> Tensor:
        inner = self.gate(self._product("gate_up_proj", expert, rows_ND))
        return self._product("down_proj", expert, inner)

    def _product(self, name: str, expert: int, x_NI: Tensor) -> Tensor:
        base, adapter = self.matrices[name][expert], self.adapters.get(name)
        if adapter is None:
            return frozen_product(x_NI, base)
        return adapter.product(x_NI, expert, base)


def is_experts(module: nn.Module) -> bool:
    """Whether `FrozenExperts` computes what this module computes: no biases, gate before up."""
    held = cast(Any, module)
    shapes = [getattr(getattr(held, name, None), "ndim", 0) for name in PARAMETERS]
    return (
        shapes == [3, 3]
        and hasattr(held, "_apply_gate")
        and getattr(held, "has_gate", False)
        and not any(
            getattr(held, flag, False)
            for flag in ("is_transposed", "has_bias", "has_post_expert_norm")
        )
    )
