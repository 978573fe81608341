"""All weights as one vector; that they learn as transformers' is held in tests/tune."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from modiste.nn.full import unfreeze
from modiste.nn.loading import load_base


def test_the_vector_is_the_model(random_base: Callable[..., Path]) -> None:
    base = random_base("llama", tie_word_embeddings=True)
    model = load_base(base, dtype=torch.float32).model
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    weights = unfreeze(model, base_path=base)
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    assert model.lm_head.weight is model.model.embed_tokens.weight
    with torch.no_grad():
        weights.flat.zero_()
    assert not any(bool(p.any()) for p in model.parameters())
    assert all(p.ndim < 2 for p in model.parameters() if p.data_ptr() >= weights.flat[
        weights.n_decayed].data_ptr())  # fmt: skip


def test_there_is_no_way_back_to_the_base(random_base: Callable[..., Path]) -> None:
    base = random_base("llama")
    weights = unfreeze(load_base(base, dtype=torch.float32).model, base_path=base)
    with pytest.raises(NotImplementedError, match="keeps no copy of the base"):
        weights.disabled()


def test_files_beside_the_weights_come_along(
    random_base: Callable[..., Path], tmp_path: Path
) -> None:
    base = random_base("llama", seed=7)
    (base / "tokenizer.json").write_text("{}")
    (base / "modeling.py").write_text("code of the base, which is never run")
    (base / "pytorch_model.bin").write_text("old")
    (base / ".env").write_text("KEY=of the owner")
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "stray").write_text("")
    unfreeze(load_base(base, dtype=torch.float32).model, base_path=base).save(folder, base="llama")
    assert {p.name for p in folder.iterdir()} == {
        "config.json", "generation_config.json", "model.safetensors", "tokenizer.json",
    }  # fmt: skip
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
