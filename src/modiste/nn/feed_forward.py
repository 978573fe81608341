"""What follows attention in a layer, in torch: one gated network, or the experts of a mixture.

A row's bits are its own here too. Which experts a row goes to depends on the row alone; an expert
computes a row alike whatever rows come with it (`nn.linear`), and a row's answers are added up in
the experts' order.

Legend: N rows of a step, n rows of an expert, D hidden size, I intermediate size, X experts,
P experts picked for a row.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from modiste.nn.adapter_table import ExpertSite, Site
from modiste.nn.deltas import RowDeltas
from modiste.nn.parts import Experts, FeedForward
from modiste.nn.shape import Mixture

SERIAL_ELEMENTS = 32_768
"""torch cuts elementwise work above this size among its threads, anywhere in a row."""


def feed_forward(
    layer: int,
    mlp: FeedForward | Experts,
    h_ND: Tensor,
    deltas: RowDeltas | None,
    *,
    mixture: Mixture | None,
) -> Tensor:
    """(N, D), to be added to what the rows were; `mixture` says how experts are picked."""
    if isinstance(mlp, Experts):
        assert mixture is not None  # noqa: S101  # Else there were no experts.
        return _mixture(layer, mlp, h_ND, deltas, mixture)
    gate_up_NI = mlp.gate_up(h_ND)
    if deltas:
        deltas.add(layer, Site.GATE_UP, h_ND, gate_up_NI)
    h_NI = _swiglu(gate_up_NI)
    down_ND = mlp.down(h_NI)
    if deltas:
        deltas.add(layer, Site.DOWN, h_NI, down_ND)
    return down_ND


def _mixture(
    layer: int, experts: Experts, h_ND: Tensor, deltas: RowDeltas | None, mixture: Mixture
) -> Tensor:
    shares_NP, picks_NP = picked(experts.router(h_ND), mixture)
    sum_ND = torch.zeros_like(h_ND)
    by_expert = picks_NP.flatten().argsort(stable=True)
    counts = picks_NP.flatten().bincount(minlength=len(experts.each)).tolist()
    for number, (mlp, places_n) in enumerate(
        zip(experts.each, torch.split(by_expert, counts), strict=True)
    ):
        if len(places_n):
            rows_n = places_n // mixture.n_picked
            down_nD = _expert(layer, number, mlp, h_ND[rows_n], rows_n, deltas)
            sum_ND[rows_n] += down_nD * shares_NP.flatten()[places_n, None]
    return sum_ND


def _expert(
    layer: int,
    number: int,
    mlp: FeedForward,
    h_nD: Tensor,
    rows_n: Tensor,
    deltas: RowDeltas | None,
) -> Tensor:
    rows = rows_n.tolist()
    gate_up_nI = mlp.gate_up(h_nD)
    if deltas:
        deltas.add_of_expert(layer, ExpertSite(Site.GATE_UP, number), rows, h_nD, gate_up_nI)
    h_nI = _swiglu(gate_up_nI)
    down_nD = mlp.down(h_nI)
    if deltas:
        deltas.add_of_expert(layer, ExpertSite(Site.DOWN, number), rows, h_nI, down_nD)
    return down_nD


def picked(logits_NX: Tensor, mixture: Mixture) -> tuple[Tensor, Tensor]:
    """Shares and numbers (N, P) of the experts with the greatest logits."""
    shares_NP, picks_NP = logits_NX.softmax(-1).topk(mixture.n_picked, -1)
    if mixture.whole:
        total_N1 = shares_NP[:, :1]
        for place in range(1, mixture.n_picked):  # In order, whatever the number of rows.
            total_N1 = total_N1 + shares_NP[:, place, None]
        shares_NP = shares_NP / total_N1
    return shares_NP, picks_NP


def _swiglu(gate_up_NI: Tensor) -> Tensor:
    """Vector and scalar `exp` differ in the last bit, so threads may only part whole rows."""
    gate_NI, up_NI = gate_up_NI.chunk(2, dim=-1)
    rows = max(1, SERIAL_ELEMENTS // gate_NI.shape[1])
    if torch.get_num_threads() == 1 or len(gate_NI) <= rows:
        return F.silu(gate_NI) * up_NI
    return torch.cat([F.silu(gate_n) for gate_n in torch.split(gate_NI, rows)]) * up_NI
