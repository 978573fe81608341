"""Experts one after the other compute what transformers' module computes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from modiste.nn.experts import FrozenExperts, is_experts
from modiste.nn.frozen import FrozenMatrix
from modiste.nn.loading import load_base

SIZES = {"num_experts_per_tok": 2, "num_hidden_layers": 1}


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("mixtral", {"num_local_experts": 4}),
        ("qwen3_moe", {"num_experts": 5, "moe_intermediate_size": 20}),
        ("olmoe", {"num_experts": 5}),
    ],
)
def test_the_output_and_its_gradients_are_the_modules(
    family: str, settings: dict[str, int], random_base: Callable[..., Path]
) -> None:
    model = load_base(random_base(family, **SIZES, **settings), dtype=torch.float32).model
    raw = next(module for module in model.modules() if is_experts(module))
    x = torch.randn(30, 48, requires_grad=True)
    picked = torch.stack([torch.randperm(raw.num_experts)[:2] for _ in range(30)])
    picked[picked == 1] = 0  # an expert that nobody asks for, and one asked for twice
    shares = torch.rand(30, 2, requires_grad=True)
    expected = raw(x, picked, shares)
    wanted = torch.autograd.grad(expected.square().sum(), (x, shares))
    ours = FrozenExperts(raw, matrix=FrozenMatrix)
    found = ours(x, picked, shares)
    # fp32 with values of size 1 to 10, products packed in another order.
    torch.testing.assert_close(found, expected.detach(), rtol=1e-4, atol=1e-4)
    for mine, theirs in zip(
        torch.autograd.grad(found.square().sum(), (x, shares)), wanted, strict=True
    ):
        assert float((mine - theirs).norm() / theirs.norm()) < 1e-5


def test_experts_of_another_build_are_left_alone(random_base: Callable[..., Path]) -> None:
    """gpt-oss keeps them transposed and with biases."""
    base = random_base("gpt_oss", **SIZES, num_local_experts=4, head_dim=12, sliding_window=8)
    model = load_base(base, dtype=torch.float32).model
    assert not any(is_experts(module) for module in model.modules())
