"""Blocks computed twice; that no bit of a gradient changes is held in tests/tune."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from modiste.errors import InvalidInput
from modiste.nn.loading import load_base
from modiste.nn.lora import attach
from modiste.nn.recompute import recompute_blocks


def test_each_block_runs_again_on_the_way_back_only(random_base: Callable[..., Path]) -> None:
    model = load_base(random_base("llama"), dtype=torch.float32).model
    adapters = attach(model, rank=2, scaling=1.0)
    calls: list[int] = []
    for i, block in enumerate(model.model.layers):
        block.mlp.register_forward_hook(lambda *_, i=i: calls.append(i))
    assert recompute_blocks(model, learned=adapters.flat) == 3
    ids = torch.tensor([[1, 2, 3]])
    with torch.no_grad():
        model(ids)
    assert calls == [0, 1, 2]
    calls.clear()
    loss = model(ids).logits.sum()
    assert calls == [0, 1, 2]
    loss.backward()
    assert calls == [0, 1, 2, 2, 1, 0]


def test_a_model_without_a_list_of_blocks_is_refused(random_base: Callable[..., Path]) -> None:
    model = load_base(random_base("llama"), dtype=torch.float32).model
    model.config.num_hidden_layers = 7
    with pytest.raises(InvalidInput, match="gradient_checkpointing: LlamaForCausalLM has no list"):
        recompute_blocks(model, learned=torch.zeros(1))
