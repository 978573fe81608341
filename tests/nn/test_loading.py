"""Files to a model in memory: exact, frozen, and never with a part left to chance."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from modiste.errors import InvalidInput
from modiste.nn.loading import load_base


@pytest.fixture
def copy(random_base: Callable[..., Path], tmp_path: Path) -> Path:
    """A base to break."""
    return Path(shutil.copytree(random_base("mistral"), tmp_path / "base"))


def test_a_loaded_base_is_frozen_and_in_the_asked_dtype(random_base: Callable[..., Path]) -> None:
    model = load_base(random_base("mistral"), dtype=torch.bfloat16).model
    assert not any(p.requires_grad for p in model.parameters())
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    assert not model.training


def test_a_missing_tensor_is_refused_not_filled_with_noise(copy: Path) -> None:
    tensors = load_file(copy / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InvalidInput, match=r"missing: model\.layers\.1\.mlp\.up_proj"):
        load_base(copy, dtype=torch.float32)


def test_an_unknown_architecture_is_refused(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"model_type": "unheard-of"}))
    with pytest.raises(InvalidInput, match="transformers cannot load this model"):
        load_base(copy, dtype=torch.float32)


def test_a_superfluous_tensor_is_no_reason_to_refuse(copy: Path) -> None:
    """Published checkpoints carry rotary frequencies and heads of other tasks."""
    tensors = load_file(copy / "model.safetensors")
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(4)
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    load_base(copy, dtype=torch.float32)
