"""What PEFT saves is applied in full, or refused with every reason."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from modiste.errors import InvalidInput
from modiste.nn.deltas import Site
from modiste.nn.shape import read_shape
from modiste.serve.adapters import load_adapter, size_bytes


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
    deltas = load_adapter(editable.path, read_shape(base)).layers
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
    delta = load_adapter(editable.path, read_shape(base)).layers[0][Site.DOWN]
    assert delta.down_RD.dtype == delta.up_OR.dtype == torch.float32


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"use_dora": True}, "DoRA"),
        ({"bias": "lora_only"}, "biases"),
        ({"modules_to_save": ["lm_head"]}, "fully trained modules"),
        ({"init_lora_weights": "pissa_niter_4"}, "changed the base"),
        ({"peft_type": "IA3"}, "peft_type IA3"),
        ({"use_qalora": True}, "use_qalora"),
    ],
)
def test_what_is_not_a_plain_lora_is_refused_by_name(base, editable, changes, word):
    editable.configure(**changes)
    assert word in refusal(editable.path, base)


def test_a_lora_of_the_embedding_or_head_is_refused(base, editable):
    def add_head(tensors):
        tensors["base_model.model.lm_head.lora_A.weight"] = torch.ones(4, 48)
        tensors["base_model.model.lm_head.lora_B.weight"] = torch.ones(199, 4)

    editable.rewrite(add_head)
    assert "lm_head is not in this base" in refusal(editable.path, base)


def test_an_adapter_of_another_base_is_refused_with_the_sizes(editable, random_base):
    other = random_base("mistral", hidden_size=32, head_dim=10)
    assert "o_proj maps 48 to 48 values, this base needs 40 to 32" in refusal(editable.path, other)
    fewer = random_base("mistral", num_hidden_layers=2)
    assert "layers.2.mlp.down_proj is not in this base of 2 layers" in refusal(editable.path, fewer)


def test_half_a_lora_is_refused(base, editable):
    gone = "base_model.model.model.layers.1.mlp.up_proj.lora_B.weight"
    editable.rewrite(lambda t: t.pop(gone))
    assert "model.layers.1.mlp.up_proj lacks a lora_A or lora_B" in refusal(editable.path, base)


def test_a_cut_file_is_refused(base, editable):
    file = editable.path / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    assert "cannot be read" in refusal(editable.path, base)


def test_a_folder_without_an_adapter_says_what_is_missing(tmp_path):
    with pytest.raises(InvalidInput, match=r"adapter_config.json and adapter_model.safetensors"):
        size_bytes(tmp_path)
