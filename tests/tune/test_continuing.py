"""What an adapter's JSON says of it, and what contradicts it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from modiste.errors import InvalidInput
from modiste.tune.continuing import Adapter, contradiction, from_mistral, from_peft
from modiste.tune.spec import Lora

PLAIN = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "model.layers.1.mlp.up_proj"]}


def test_a_plain_adapter_is_read_from_its_config() -> None:
    found = from_peft(PLAIN)
    ends = frozenset({"q_proj", "up_proj"})
    assert found == Adapter(frozenset({4}), frozenset({8.0}), False, False, ends)
    assert found.rank == 4


def test_ranks_and_alphas_of_single_layers_count() -> None:
    patterns = {"rank_pattern": {"x.q_proj": 8}, "alpha_pattern": {"x.q_proj": 16}}
    found = from_peft(PLAIN | patterns)
    assert (found.ranks, found.alphas, found.rank) == ({4, 8}, {16.0}, 8)
    assert from_peft(PLAIN | {"rank_pattern": {"x.q_proj": 8}}).alphas == {8.0, 16.0}


def test_layers_that_only_the_base_can_tell_are_not_judged() -> None:
    for targets in ("all-linear", r".*\.q_proj"):
        found = from_peft(PLAIN | {"target_modules": targets})
        assert contradiction(Lora(targets=("v_proj",)), found, "a") is None


def test_experts_are_told_by_their_parameters() -> None:
    found = from_peft(PLAIN | {"target_parameters": ["mlp.experts.down_proj"]})
    assert found.ends == {"q_proj", "up_proj", "down_proj"}


@pytest.mark.parametrize("wrong", [{"r": "many"}, {"lora_alpha": None}, {"r": 0}])
def test_a_config_that_says_no_rank_or_alpha_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidInput, match=r"adapter_config\.json"):
        from_peft(PLAIN | wrong)


def test_mistrals_layout_is_read_from_headers_under_the_names_of_others(tmp_path: Path) -> None:
    stem = "layers.0.attention.wq"
    matrices = {f"{stem}.lora_A.weight": torch.zeros(4, 8), f"{stem}.lora_B.weight": torch.ones(8)}
    save_file(matrices, tmp_path / "lora.safetensors")
    with pytest.raises(InvalidInput, match="does not say the adapter's scaling"):
        from_mistral(tmp_path)
    params = {"lora": {"enable": True, "rank": 4, "scaling": 2.0}}
    (tmp_path / "params.json").write_text(json.dumps(params))
    found = from_mistral(tmp_path)
    assert found == Adapter(frozenset({4}), frozenset({8.0}), False, False, frozenset({"q_proj"}))


def test_fields_left_at_their_defaults_follow_the_adapter() -> None:
    found = from_peft(PLAIN | {"use_dora": True, "use_rslora": True})
    assert contradiction(Lora(), found, "a") is None
    same = Lora(rank=4, alpha=8, dora=True, rslora=True, targets=("q_proj", "up_proj"))
    assert contradiction(same, found, "a") is None


def test_all_contradictions_are_told_at_once() -> None:
    wish = Lora(rank=8, alpha=3, dora=True, rslora=True, targets=("v_proj",))
    said = contradiction(wish, from_peft(PLAIN), "ft:x")
    assert said is not None
    assert "lora.rank is 8, the adapter has 4; lora.alpha is 3.0, the adapter has 8" in said
    assert "lora.rslora is True, the adapter has False; lora.dora is True" in said
    assert "lora.targets is v_proj, the adapter has q_proj, up_proj" in said
    assert "go on from ft:x" in said
