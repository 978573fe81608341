"""PEFT folders written and read; that PEFT itself agrees is held in tests/parity."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from modiste.errors import InvalidInput
from modiste.nn.adapter_io import load_peft, save_peft

LAYERS = ("model.layers.0.self_attn.q_proj", "model.layers.0.mlp.up_proj")


def weights(value: float = 1.0) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    return {name: (torch.full((4, 6), value), torch.full((8, 4), value)) for name in LAYERS}


def saved(folder: Path, value: float = 1.0, **config: object) -> Path:
    save_peft(
        folder, weights(value), rank=4, scaling=1.5, targets=["q_proj", "up_proj"], base="tiny"
    )
    if config:
        path = folder / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | config))
    return folder


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    loaded = load_peft(saved(tmp_path / "adapter", 2.0))
    assert set(loaded.layers) == set(LAYERS)
    assert loaded.base == "tiny"
    for layer in loaded.layers.values():
        assert layer.scaling == 1.5
        assert torch.equal(layer.A_RI, torch.full((4, 6), 2.0))
        assert torch.equal(layer.B_OR, torch.full((8, 4), 2.0))


def test_the_files_are_those_that_peft_writes(tmp_path: Path) -> None:
    folder = saved(tmp_path / "adapter")
    assert {p.name for p in folder.iterdir()} == {
        "adapter_model.safetensors",
        "adapter_config.json",
    }
    assert "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight" in load_file(
        folder / "adapter_model.safetensors"
    )
    config = json.loads((folder / "adapter_config.json").read_text())
    assert (config["peft_type"], config["r"], config["lora_alpha"]) == ("LORA", 4, 6)
    assert config["target_modules"] == ["q_proj", "up_proj"]


def test_equal_adapters_have_equal_bytes(tmp_path: Path) -> None:
    one, other = saved(tmp_path / "one"), saved(tmp_path / "other")
    for file in one.iterdir():
        assert file.read_bytes() == (other / file.name).read_bytes()


def test_an_adapter_is_replaced_whole(tmp_path: Path) -> None:
    folder = saved(tmp_path / "adapter")
    (folder / "stray").write_text("")
    saved(folder, 5.0)
    assert not (folder / "stray").exists()
    assert float(load_peft(folder).layers[LAYERS[0]].A_RI[0, 0]) == 5.0
    assert [p.name for p in tmp_path.iterdir()] == ["adapter"]


def test_alphas_per_layer_and_rank_stabilised_scaling_are_read(tmp_path: Path) -> None:
    folder = saved(tmp_path / "adapter", alpha_pattern={"q_proj": 2}, use_rslora=True)
    layers = load_peft(folder).layers
    assert layers[LAYERS[0]].scaling == 2 / 4**0.5
    assert layers[LAYERS[1]].scaling == 6 / 4**0.5


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"use_dora": True}, "DoRA"),
        ({"modules_to_save": ["lm_head"]}, "fully trained modules"),
        ({"bias": "all"}, "trained biases"),
        ({"peft_type": "IA3"}, "peft_type IA3"),
        ({"trainable_token_indices": [1]}, "trained tokens"),
    ],
)
def test_more_than_plain_lora_is_refused_by_name(tmp_path: Path, config: dict, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        load_peft(saved(tmp_path / "adapter", **config))


def test_damaged_adapters_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="not an adapter in PEFT layout"):
        load_peft(tmp_path)
    folder = saved(tmp_path / "adapter")
    tensors = load_file(folder / "adapter_model.safetensors")
    tensors.pop(next(name for name in tensors if "lora_B" in name))
    save_file(tensors, folder / "adapter_model.safetensors")
    with pytest.raises(InvalidInput, match="lacks a lora_A or lora_B"):
        load_peft(folder)
    save_file({"x": torch.ones(1)}, folder / "adapter_model.safetensors")
    with pytest.raises(InvalidInput, match="'x' is not part of a plain LoRA adapter"):
        load_peft(folder)
    (folder / "adapter_model.safetensors").write_bytes(b"garbage")
    with pytest.raises(InvalidInput, match="cannot be read"):
        load_peft(folder)
