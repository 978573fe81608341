"""What PEFT saves is applied in full, or refused with every reason."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from modiste.errors import InvalidInput
from modiste.nn.deltas import Site
from modiste.nn.shape import read_shape
from modiste.serve.adapters import load_adapter


@pytest.fixture(scope="module")
def base(random_base):
    return random_base("mistral")


@pytest.fixture
def editable(base, random_adapter):
    """An adapter whose configuration and tensors a test may change."""
    folder = random_adapter(base, r=4)

    class Editable:
        path = folder

        def configure(self, **changes):
            file = folder / "adapter_config.json"
            file.write_text(json.dumps(json.loads(file.read_text()) | changes))

        def rewrite(self, change):
            file = folder / "adapter_model.safetensors"
            tensors = load_file(file)
            change(tensors)
            save_file(tensors, file)

    return Editable()


def refusal(folder, base):
    with pytest.raises(InvalidInput) as caught:
        load_adapter(folder, read_shape(base))
    return caught.value.message


def test_modules_of_one_site_are_fused_without_seeing_each_other(base, editable):
    deltas = load_adapter(editable.path, read_shape(base))
    assert [set(layer) for layer in deltas] == [set(Site)] * 3
    qkv = deltas[0][Site.QKV]
    assert qkv.down_RD.shape == (12, 48)
    assert qkv.up_OR.shape == (48 + 24 + 24, 12)
    assert not qkv.up_OR[:48, 4:].any()
    stored = load_file(editable.path / "adapter_model.safetensors")
    k = stored["base_model.model.model.layers.0.self_attn.k_proj.lora_B.weight"]
    assert torch.equal(qkv.up_OR[48:72, 4:8], k * (16 / 4))


def test_halves_in_bfloat16_are_read_as_float32(base, editable):
    editable.rewrite(lambda t: t.update({name: tensor.bfloat16() for name, tensor in t.items()}))
    delta = load_adapter(editable.path, read_shape(base))[0][Site.DOWN]
    assert delta.down_RD.dtype == delta.up_OR.dtype == torch.float32


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"use_dora": True}, "use_dora"),
        ({"bias": "lora_only"}, "bias is 'lora_only'"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"init_lora_weights": "pissa_niter_4"}, "changed the base"),
        ({"peft_type": "IA3"}, "peft_type is 'IA3'"),
        ({"r": 5}, "has rank 4, adapter_config.json says 5"),
        ({"r": "four"}, "not a LoRA configuration"),
    ],
)
def test_what_is_not_a_plain_lora_is_refused_by_name(base, editable, changes, word):
    editable.configure(**changes)
    assert word in refusal(editable.path, base)


def test_all_problems_are_told_at_once(base, editable):
    editable.configure(use_dora=True, bias="all")
    editable.rewrite(
        lambda t: t.update({"base_model.model.lm_head.lora_A.weight": torch.ones(4, 48)})
    )
    message = refusal(editable.path, base)
    for word in ("use_dora", "bias", "lm_head.lora_A.weight"):
        assert word in message


def test_an_adapter_of_another_base_is_refused_with_the_sizes(editable, random_base):
    other = random_base("mistral", hidden_size=32, head_dim=10)
    assert "o_proj maps 48 to 48 values, this base needs 40 to 32" in refusal(editable.path, other)
    fewer = random_base("mistral", num_hidden_layers=2)
    assert "layers.2.self_attn.q_proj is not in this base (2 layers)" in refusal(
        editable.path, fewer
    )


def test_half_a_lora_is_refused(base, editable):
    gone = "base_model.model.model.layers.1.mlp.up_proj.lora_B.weight"
    editable.rewrite(lambda t: t.pop(gone))
    assert "model.layers.1.mlp.up_proj lacks a half" in refusal(editable.path, base)


def test_a_cut_file_is_refused(base, editable):
    file = editable.path / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    assert "not readable" in refusal(editable.path, base)


def test_a_folder_without_an_adapter_says_what_is_missing(base, tmp_path):
    message = refusal(tmp_path, base)
    assert "adapter_config.json and adapter_model.safetensors missing" in message
