"""LoRA layers: exact by hand, flat in memory, refused where they do not fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from modiste.errors import InvalidInput
from modiste.nn.frozen import FrozenMatrix
from modiste.nn.loading import load_base
from modiste.nn.lora import Adapters, LoraLinear, attach


def layer(*, dtype: torch.dtype = torch.float64, bias: bool = True) -> LoraLinear:
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    base = FrozenMatrix(random(7, 5).to(dtype), random(7).to(dtype) if bias else None)
    low = torch.float64 if dtype is torch.float64 else torch.float32
    a, b = nn.Parameter(random(3, 5).to(low)), nn.Parameter(random(7, 3).to(low))
    return LoraLinear(base, lora_A=a, lora_B=b, scaling=0.7)


def test_gradients_are_those_of_finite_differences() -> None:
    module = layer()
    x = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)

    def forward(x: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(module, {"lora_A": a, "lora_B": b}, x)

    assert torch.autograd.gradcheck(forward, (x, module.lora_A, module.lora_B))


def test_an_input_without_gradient_still_trains_the_adapter() -> None:
    """The first layer reads embeddings, which are frozen."""
    module = layer()
    module(torch.randn(4, 5, dtype=torch.float64)).sum().backward()
    assert module.lora_A.grad is not None
    assert module.lora_B.grad is not None


@pytest.mark.parametrize("shape", [(5,), (4, 5), (2, 3, 5)])
def test_any_leading_shape_is_kept(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, dtype=torch.float64)
    assert layer()(x).shape == (*shape[:-1], 7)


def test_a_bf16_base_keeps_its_adapter_in_fp32() -> None:
    exact, rough = layer(), layer(dtype=torch.bfloat16)
    x = torch.randn(6, 5, generator=torch.Generator().manual_seed(2))
    ours, expected = rough(x.bfloat16()), exact(x.double())
    assert ours.dtype is torch.bfloat16
    # 8 bits of mantissa, values of size 5.
    torch.testing.assert_close(ours.double(), expected, rtol=0.05, atol=0.1)
    ours.float().sum().backward()
    assert rough.lora_A.grad.dtype is torch.float32


def attached(random_base: Callable[..., Path], **changes: object) -> Adapters:
    model = load_base(random_base("mistral"), dtype=torch.float32).model
    return attach(model, **({"rank": 2, "scaling": 1.5} | changes))


def test_every_linear_layer_but_the_head_is_adapted(random_base: Callable[..., Path]) -> None:
    adapters = attached(random_base)
    assert len(adapters.modules) == 3 * 7
    assert "lm_head" not in adapters.modules
    assert adapters.targets == (
        "down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj",
    )  # fmt: skip


def test_targets_are_matched_by_suffix_and_whole_name(random_base: Callable[..., Path]) -> None:
    assert len(attached(random_base, targets=["q_proj"]).modules) == 3
    one = attached(random_base, targets=["model.layers.1.self_attn.v_proj"])
    assert list(one.modules) == ["model.layers.1.self_attn.v_proj"]
    assert one.targets == ("model.layers.1.self_attn.v_proj",)
    with pytest.raises(InvalidInput, match="proj names no linear layer"):
        attached(random_base, targets=["proj"])


def test_weights_and_gradients_live_in_one_flat_tensor(random_base: Callable[..., Path]) -> None:
    adapters = attached(random_base)
    module = next(iter(adapters.modules.values()))
    with torch.no_grad():
        adapters.flat.fill_(3.0)
    assert bool((module.lora_A == 3.0).all())
    module(torch.ones(2, 48)).sum().backward()
    assert adapters.flat.grad.abs().sum() == sum(
        m.lora_A.grad.abs().sum() + m.lora_B.grad.abs().sum() for m in [module]
    )
    adapters.zero_grad()
    assert not module.lora_B.grad.any()
    assert adapters.flat.numel() == sum(
        m.lora_A.numel() + m.lora_B.numel() for m in adapters.modules.values()
    )


def test_the_start_depends_on_seed_and_layer_only(random_base: Callable[..., Path]) -> None:
    first, again = attached(random_base, seed=1), attached(random_base, seed=1)
    assert torch.equal(first.flat, again.flat)
    assert not torch.equal(first.flat, attached(random_base, seed=2).flat)
    name = "model.layers.1.self_attn.q_proj"
    alone = attached(random_base, seed=1, targets=[name])
    assert torch.equal(alone.weights()[name][0], first.weights()[name][0])


def test_disabled_adapters_leave_the_bare_base(random_base: Callable[..., Path]) -> None:
    adapters = attached(random_base)
    module = next(iter(adapters.modules.values()))
    x = torch.randn(2, 48)
    base = module.base.up(x)
    with torch.no_grad():
        module.lora_B.fill_(1.0)
        assert not torch.equal(module(x), base)
        with adapters.disabled():
            assert torch.equal(module(x), base)
        assert not torch.equal(module(x), base)


def test_an_adapter_that_does_not_fit_is_refused_by_name(random_base: Callable[..., Path]) -> None:
    adapters = attached(random_base)
    weights = {name: (a.clone(), b.clone()) for name, (a, b) in adapters.weights().items()}
    name = next(iter(weights))
    a, b = weights[name]
    with pytest.raises(InvalidInput, match=name):
        adapters.load(weights | {name: (a[:1], b)})
    with pytest.raises(InvalidInput, match="another_layer"):
        adapters.load(weights | {"another_layer": (a, b)})
    del weights[name]
    with pytest.raises(InvalidInput, match=name):
        adapters.load(weights)


def test_a_model_without_linear_layers_is_refused(random_base: Callable[..., Path]) -> None:
    """GPT-2 keeps its weights in transposed convolutions."""
    path = random_base("gpt2", bos_token_id=0, eos_token_id=0)
    model = load_base(path, dtype=torch.float32).model
    with pytest.raises(InvalidInput, match="no linear layers"):
        attach(model, rank=2, scaling=1.0)
