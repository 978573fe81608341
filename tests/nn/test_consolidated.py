"""Mistral's layout in Hugging Face words; equal logits are held in tests/parity."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from modiste.errors import InvalidInput
from modiste.nn.base import describe_base
from modiste.nn.consolidated import (
    DEFAULT_CONTEXT,
    as_config,
    halves_from_pairs,
    pairs_from_halves,
    rename,
)
from modiste.nn.loading import load_base

SEVEN_B = {
    "dim": 4096,
    "n_layers": 32,
    "head_dim": 128,
    "hidden_dim": 14336,
    "n_heads": 32,
    "n_kv_heads": 8,
    "norm_eps": 1e-05,
    "vocab_size": 32768,
    "rope_theta": 1000000.0,
}
"""params.json of Mistral 7B v0.3."""
WHERE = Path("params.json")


def test_the_params_of_7b_say_what_its_config_says() -> None:
    config = as_config(SEVEN_B, where=WHERE)
    expected = {
        "model_type": "mistral",
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "rms_norm_eps": 1e-5,
        "rope_theta": 1e6,
        "vocab_size": 32768,
        "max_position_embeddings": DEFAULT_CONTEXT,
        "sliding_window": None,
        "tie_word_embeddings": False,
    }
    assert expected.items() <= config.items()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"moe": {"num_experts": 8}}, "moe.num_experts_per_tok missing or not a whole number"),
        ({"vision_encoder": {"hidden_size": 1}}, "a vision encoder"),
        ({"model_type": "mamba"}, "a mamba model"),
        ({"yarn": {"factor": 8}, "vision_encoder": {"x": 1}}, "and"),
        ({"dim": None, "n_layers": "2"}, "dim, n_layers missing"),
    ],
)
def test_what_this_layout_is_not_read_for_is_refused_by_name(changes: dict, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        as_config(SEVEN_B | changes, where=WHERE)


def test_tensors_are_renamed_and_strange_ones_refused() -> None:
    assert rename("layers.31.attention.wq.weight") == "model.layers.31.self_attn.q_proj.weight"
    assert rename("layers.0.feed_forward.w2.weight") == "model.layers.0.mlp.down_proj.weight"
    assert rename("output.weight") == "lm_head.weight"
    for strange in ("layers.0.block_sparse_moe.gate.weight", "vision_encoder.conv.weight", "norm"):
        with pytest.raises(InvalidInput, match="not part of a plain Mistral decoder"):
            rename(strange)


def test_rows_are_reordered_from_pairs_to_halves_per_head() -> None:
    weight = torch.arange(8.0)[:, None].repeat(1, 3)  # two heads of four rows
    assert halves_from_pairs(weight, head_dim=4)[:, 0].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]
    assert torch.equal(pairs_from_halves(halves_from_pairs(weight, head_dim=4), head_dim=4), weight)


def test_weights_that_do_not_fit_are_refused_by_name(tmp_path: Path) -> None:
    small = SEVEN_B | {"dim": 8, "n_layers": 1, "head_dim": 4, "hidden_dim": 8, "n_heads": 2,
                       "n_kv_heads": 1, "vocab_size": 11}  # fmt: skip
    (tmp_path / "params.json").write_text(json.dumps(small))
    save_file({"norm.weight": torch.ones(9)}, tmp_path / "consolidated.safetensors")
    with pytest.raises(InvalidInput, match="weights do not fit") as raised:
        load_base(tmp_path, dtype=torch.float32)
    assert "is missing" in raised.value.message


def test_pickled_consolidated_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "params.json").write_text(json.dumps(SEVEN_B))
    (tmp_path / "consolidated.00.pth").write_bytes(b"")
    with pytest.raises(InvalidInput, match="pickles"):
        describe_base(tmp_path)
