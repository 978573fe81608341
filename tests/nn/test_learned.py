"""Every method gives the recipe the same thing: one vector whose gradient is the layers'."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from modiste.nn.full import unfreeze
from modiste.nn.learned import Learned
from modiste.nn.loading import load_base
from modiste.nn.lora import attach

METHODS = ("lora", "full")


def learned_on(base: Path, method: str) -> tuple[torch.nn.Module, Learned]:
    model = load_base(base, dtype=torch.float32).model
    if method == "full":
        return model, unfreeze(model, base_path=base)
    return model, attach(model, rank=4, scaling=2.0)


@pytest.mark.parametrize("method", METHODS)
def test_a_backward_fills_the_one_gradient_and_zero_grad_empties_it(
    random_base: Callable[..., Path], method: str
) -> None:
    model, learned = learned_on(random_base("mistral"), method)
    with learned.training(1, 0, 0):
        model(torch.arange(3, 9)[None]).logits.square().mean().backward()
    assert learned.flat.grad is not None
    assert bool(learned.flat.grad.any())
    learned.zero_grad()
    assert not bool(learned.flat.grad.any())


@pytest.mark.parametrize("method", METHODS)
def test_the_vector_of_one_run_fits_a_second_model_of_the_same_base(
    random_base: Callable[..., Path], method: str
) -> None:
    base, ids = random_base("mistral"), torch.arange(3, 9)[None]
    one, learned = learned_on(base, method)
    other, fresh = learned_on(base, method)
    with torch.no_grad():
        learned.flat.add_(torch.randn(learned.flat.shape, generator=torch.Generator()) * 0.05)
        changed = one(ids).logits
        assert not torch.equal(changed, other(ids).logits)
        fresh.flat.copy_(learned.flat)
        assert torch.equal(changed, other(ids).logits)


@pytest.mark.parametrize("method", METHODS)
def test_decayed_values_come_first_and_saving_leaves_a_folder(
    random_base: Callable[..., Path], tmp_path: Path, method: str
) -> None:
    _, learned = learned_on(random_base("mistral"), method)
    assert 0 < learned.n_decayed <= learned.flat.numel()
    learned.save(tmp_path / "result", base="b")
    assert list((tmp_path / "result").glob("*.safetensors"))
