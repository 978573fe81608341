"""nn/changes.py: what adapters of any layout change, matrix by matrix, as PEFT merges them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from transformers import AutoModelForCausalLM

from modiste.errors import InvalidInput
from modiste.nn import proof
from modiste.nn.changes import plain, read_changes, save_peft_folder
from modiste.nn.export import export
from modiste.nn.tensor_files import TensorFiles

Make = Callable[..., Path]
IDS = [5, 17, 3, 99, 42, 7, 150, 8]


def trained_by_peft(base: Path, into: Path, **options: Any) -> Path:
    """An adapter that stock PEFT made and saved, all of it random."""
    torch.manual_seed(4)
    model = AutoModelForCausalLM.from_pretrained(base)
    wrapped = peft.get_peft_model(model, peft.LoraConfig(r=4, lora_alpha=12, **options))
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "magnitude" in name:
                parameter.mul_(torch.rand_like(parameter) + 0.5)
            elif "lora_" in name:
                parameter.normal_(std=0.1)
    wrapped.save_pretrained(into)
    return into


ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
EXPERTS = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("mistral", {"target_modules": ATTENTION, "use_rslora": True}),
        ("mistral", {"target_modules": ATTENTION, "use_dora": True}),
        ("llama", {"target_modules": ["up_proj"], "rank_pattern": {"layers.1.mlp.up_proj": 2}}),
        ("mixtral", {"target_modules": ATTENTION, "target_parameters": EXPERTS}),
        ("mixtral", {"target_modules": ["q_proj"], "target_parameters": EXPERTS[1:]}),
        ("qwen3_moe", {"target_modules": ATTENTION, "target_parameters": EXPERTS}),
    ],
)
def test_adapters_of_peft_are_exported_to_what_peft_computes(
    random_base: Make, tmp_path: Path, family: str, options: dict[str, Any]
) -> None:
    more = (
        {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
        if family == "qwen3_moe"
        else {}
    )
    base = random_base(family, **more)
    adapter = trained_by_peft(base, tmp_path / "adapter", **options)
    model = AutoModelForCausalLM.from_pretrained(base)
    stock = proof.logits_of(peft.PeftModel.from_pretrained(model, adapter).eval(), [IDS])
    changes = read_changes(adapter, TensorFiles(base).config)
    ours = proof.reference(base, changes, prompts=[IDS]).trained
    # fp32 sums in another order; logits of size 10.
    assert torch.allclose(stock[0], ours[0], atol=3e-4)
    for form in ("peft", "merged"):
        done = export(form, base=base, adapter=adapter, into=tmp_path / form)
        assert done.verified is not None, done.note


def test_a_dora_has_no_place_in_mistrals_layout(random_base: Make, tmp_path: Path) -> None:
    base = random_base("mistral")
    adapter = trained_by_peft(base, tmp_path / "a", target_modules=ATTENTION, use_dora=True)
    with pytest.raises(InvalidInput, match="the adapter is a DoRA"):
        plain(read_changes(adapter, TensorFiles(base).config))


def test_experts_one_by_one_have_no_place_in_pefts_layout(
    random_base: Make, tmp_path: Path
) -> None:
    base = random_base("mixtral")
    options = {"target_modules": ["q_proj"], "target_parameters": EXPERTS}
    adapter = trained_by_peft(base, tmp_path / "a", **options)
    with pytest.raises(InvalidInput, match="matrices of experts one by one"):
        save_peft_folder(tmp_path / "b", read_changes(adapter, TensorFiles(base).config), base="x")


def test_a_folder_without_an_adapter_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"neither adapter_config\.json \(PEFT\) nor lora"):
        read_changes(tmp_path, {"num_attention_heads": 2, "hidden_size": 4})
