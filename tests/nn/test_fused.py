"""Patched models against unpatched ones: the same losses, the same gradients of the adapters."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from modiste.nn.fused import Fusion, fuse
from modiste.nn.loading import load_base
from modiste.nn.lora import attach
from modiste.tune.loss import Scorer, probe

FAMILIES = {
    "mistral": Fusion(3, 3, 7),
    "llama": Fusion(3, 3, 7),
    "qwen2": Fusion(3, 3, 7),
    "qwen3": Fusion(3, 3, 13),
    "gemma": Fusion(3, 0, 0),
    "mixtral": Fusion(3, 0, 7),
}
"""Gemma gates with a GELU and adds one to its norms; Mixtral's MLPs are experts."""


class Learned(NamedTuple):
    loss: float
    gradient: torch.Tensor
    fusion: Fusion | None


def learned(base: Path, *, fused: bool, dtype: torch.dtype, **changes: Any) -> Learned:
    model = load_base(base, dtype=dtype).model
    scorer = Scorer.of(model)
    adapters = attach(model, rank=4, scaling=1.5, **changes)
    with torch.no_grad():  # B starts at zero, which would hide half of the products
        noise = torch.randn(adapters.flat.shape, generator=torch.Generator().manual_seed(3))
        adapters.flat.add_(noise * 0.05)
    fusion = fuse(model) if fused else None
    loss = scorer.loss(probe(model))
    loss.backward()
    return Learned(loss.item(), adapters.flat.grad.clone(), fusion)


@pytest.mark.parametrize("family", FAMILIES)
def test_losses_and_gradients_stay_the_same(family: str, random_base: Callable[..., Path]) -> None:
    base = random_base(family)
    plain = learned(base, fused=False, dtype=torch.float32)
    fused = learned(base, fused=True, dtype=torch.float32)
    assert fused.fusion == FAMILIES[family]
    # fp32: sums over a hundred terms and three layers in another order.
    assert fused.loss == pytest.approx(plain.loss, rel=1e-6)
    distance = (fused.gradient - plain.gradient).norm() / plain.gradient.norm()
    assert distance < 1e-5


@pytest.mark.parametrize("family", ["mistral", "qwen3"])
def test_bf16_is_as_far_from_fp32_as_without(family: str, random_base: Callable[..., Path]) -> None:
    base = random_base(family)
    exact = learned(base, fused=False, dtype=torch.float32)
    plain, fused = (learned(base, fused=f, dtype=torch.bfloat16) for f in (False, True))
    errors = [(x.gradient - exact.gradient).norm() / exact.gradient.norm() for x in (plain, fused)]
    # Three layers with roundings at 2^-9 each; another formula would be off by a half or more.
    assert errors[1] < 1.5 * errors[0] + 0.01


def test_layers_that_are_not_all_adapted_are_left_alone(
    random_base: Callable[..., Path],
) -> None:
    base = random_base("mistral")
    some = ["q_proj", "v_proj", "gate_proj", "up_proj"]
    fused = learned(base, fused=True, dtype=torch.float32, targets=some)
    assert fused.fusion == Fusion(0, 0, 7)
    plain = learned(base, fused=False, dtype=torch.float32, targets=some)
    assert (fused.gradient - plain.gradient).norm() / plain.gradient.norm() < 1e-5


def test_adapters_with_dropout_or_dora_keep_their_own_products(
    random_base: Callable[..., Path],
) -> None:
    base = random_base("mistral")
    wishes: list[dict[str, Any]] = [{"dropout": 0.1}, {"dora": True}]
    for wish in wishes:
        model = load_base(base, dtype=torch.float32).model
        attach(model, **({"rank": 2, "scaling": 1.0} | wish))
        assert fuse(model)[:2] == (0, 0)


def test_patching_twice_changes_nothing(random_base: Callable[..., Path]) -> None:
    model = load_base(random_base("mistral"), dtype=torch.float32).model
    attach(model, rank=2, scaling=1.0)
    assert fuse(model) == Fusion(3, 3, 7)
    assert fuse(model) == Fusion(0, 0, 0)


def test_switched_off_the_bare_base_is_left(random_base: Callable[..., Path]) -> None:
    base = random_base("llama")
    bare = load_base(base, dtype=torch.float32).model
    model = load_base(base, dtype=torch.float32).model
    adapters = attach(model, rank=2, scaling=1.0)
    fuse(model)
    with torch.no_grad():
        adapters.flat.normal_()
        ids = torch.arange(9)[None]
        expected = bare(ids).logits
        with adapters.disabled():
            # Packed matrices sum in another order.
            torch.testing.assert_close(model(ids).logits, expected, rtol=1e-4, atol=1e-4)
        assert not torch.allclose(model(ids).logits, expected, atol=1e-2)


def test_what_waits_is_forgotten_when_the_adapters_move(
    random_base: Callable[..., Path],
) -> None:
    model = load_base(random_base("mistral"), dtype=torch.float32).model
    adapters = attach(model, rank=2, scaling=1.0)
    fuse(model)
    attention, x = model.model.layers[0].self_attn, torch.randn(2, 48)
    with torch.no_grad():
        attention.q_proj(x)
        before = attention.k_proj(x)
        attention.q_proj(x)
        adapters.flat.fill_(1.0)
        assert not torch.allclose(attention.k_proj(x), before)


def test_an_input_of_another_kind_between_siblings_is_not_mixed_up(
    random_base: Callable[..., Path],
) -> None:
    """Cross attention asks q with one tensor, k and v with another."""
    model = load_base(random_base("mistral"), dtype=torch.float32).model
    attach(model, rank=2, scaling=1.0)
    attention = model.model.layers[0].self_attn
    one, other = torch.randn(2, 48), torch.randn(2, 48)
    expected = attention.q_proj(one), attention.k_proj(other), attention.v_proj(other)
    fuse(model)
    actual = attention.q_proj(one), attention.k_proj(other), attention.v_proj(other)
    for mine, wanted in zip(actual, expected, strict=True):
        torch.testing.assert_close(mine, wanted, rtol=1e-5, atol=1e-6)
