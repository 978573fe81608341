"""What PEFT saves is applied in full, or refused with every reason, from packed copies too."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from modiste.errors import InvalidInput
from modiste.nn import native
from modiste.nn.adapter_io import save_peft
from modiste.nn.adapter_table import ExpertSite, Site
from modiste.nn.shape import read_shape
from modiste.serve.adapters import PACKED, from_peft, load_adapter, size_bytes


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


EXPERTS = {
    "target_modules": ["q_proj", "o_proj"],  # With "all-linear", PEFT adapts the router too.
    "target_parameters": ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"],
}


@pytest.fixture(scope="module")
def mixture(random_base):
    return random_base("mixtral", num_local_experts=4, num_hidden_layers=2)


def test_parameters_of_all_experts_become_deltas_of_each(mixture, random_adapter):
    folder = random_adapter(mixture, r=4, **EXPERTS)
    for _ in range(2):  # From the PEFT files, and from the packed copy.
        deltas = load_adapter(folder, read_shape(mixture)).layers
        sites = {ExpertSite(site, e) for site in (Site.GATE_UP, Site.DOWN) for e in range(4)}
        assert [set(layer) for layer in deltas] == [{Site.QKV, Site.O} | sites] * 2
        stored = load_file(folder / "adapter_model.safetensors")
        stem = "base_model.model.model.layers.1.mlp.experts"
        a, b = stored[f"{stem}.lora_A.weight"], stored[f"{stem}.lora_B.weight"]
        down = deltas[1][ExpertSite(Site.DOWN, 2)]  # PEFT keeps experts' ranks in turn in B.
        assert torch.equal(down.down_RD, a[8:12])
        assert torch.equal(down.up_OR, b[:, 2::4] * (16 / 4))
        assert deltas[1][ExpertSite(Site.GATE_UP, 0)].up_OR.shape == (144, 4)


def test_experts_by_their_own_names_are_fused_like_other_modules(mixture, tmp_path):
    """As PEFT wrote them while every expert's matrices were linear layers."""
    stem = "model.layers.0.block_sparse_moe.experts.3"
    a, b, wide = torch.randn(4, 48), torch.randn(72, 4), torch.randn(4, 72)
    pairs = {f"{stem}.w1": (a, b), f"{stem}.w3": (a + 1, b + 1), f"{stem}.w2": (wide, b[:48] + 2)}
    save_peft(tmp_path / "a", pairs, rank=4, scaling=2.0, targets=["w1", "w2", "w3"], base="m")
    first, second = load_adapter(tmp_path / "a", read_shape(mixture)).layers
    assert set(first) == {ExpertSite(Site.GATE_UP, 3), ExpertSite(Site.DOWN, 3)}
    assert second == {}
    gate_up = first[ExpertSite(Site.GATE_UP, 3)]
    assert torch.equal(gate_up.up_OR[:72, :4], 2 * b)
    assert torch.equal(gate_up.up_OR[72:, 4:], 2 * (b + 1))
    assert not gate_up.up_OR[:72, 4:].any()
    assert torch.equal(first[ExpertSite(Site.DOWN, 3)].down_RD, wide)


def test_adapters_of_other_experts_are_refused_with_what_differs(
    base, mixture, random_adapter, random_base, tmp_path
):
    folder = random_adapter(mixture, r=4, **EXPERTS)
    more = random_base("mixtral", num_local_experts=5, num_hidden_layers=2)
    assert "experts.down_proj adapts 4 experts, this base has 5" in refusal(folder, more)
    assert "experts.down_proj adapts 4 experts, this base has no" in refusal(folder, base)
    wide = random_base("mixtral", num_local_experts=4, num_hidden_layers=2, intermediate_size=80)
    told = refusal(folder, wide)
    assert "experts.0.down_proj maps 72 to 48 values, this base needs 80 to 48" in told
    router = {"model.layers.0.block_sparse_moe.gate": (torch.ones(4, 48), torch.ones(4, 4))}
    save_peft(tmp_path / "a", router, rank=4, scaling=1.0, targets=["gate"], base="m")
    told = refusal(tmp_path / "a", mixture)
    assert "block_sparse_moe.gate is a router, whose adapters are not computed here" in told


packs = pytest.mark.skipif(native.library() is None, reason="built without a compiler")


def equal(one, other):
    pairs = [(a, b) for x, y in zip(one.layers, other.layers, strict=True) for a, b in
             zip(x.values(), y.values(), strict=True)]  # fmt: skip
    return bool(pairs) and all(
        torch.equal(a.down_RD, b.down_RD) and torch.equal(a.up_OR, b.up_OR) for a, b in pairs
    )


@packs
def test_the_packed_copy_holds_the_same_adapter(base, editable):
    shape = read_shape(base)
    first = load_adapter(editable.path, shape)
    assert (editable.path / PACKED[torch.float32]).is_file()
    copied = load_adapter(editable.path, shape)
    assert equal(first, from_peft(editable.path, shape))
    assert equal(copied, from_peft(editable.path, shape))
    assert copied.table.values.data_ptr() % 64 == 0


@packs
def test_a_copy_in_sixteen_bits_lies_beside_the_other_and_is_half_of_it(base, editable):
    shape, wide, short = read_shape(base), torch.float32, torch.bfloat16
    exact = load_adapter(editable.path, shape)
    for _ in range(2):  # As it is packed, and as it is mapped.
        rounded = load_adapter(editable.path, shape, dtype=short)
        assert rounded.table.values.dtype == short
    for layer, same in zip(exact.layers, rounded.layers, strict=True):
        for site, delta in layer.items():
            assert torch.equal(delta.down_RD.bfloat16().float(), same[site].down_RD)
            assert torch.equal(delta.up_OR.bfloat16().float(), same[site].up_OR)
    sizes = [size_bytes(editable.path, dtype=dtype) for dtype in (wide, short)]
    assert 0.5 < sizes[1] / sizes[0] < 0.7, "some of it are names and numbers"
    assert equal(load_adapter(editable.path, shape), exact)


@packs
def test_a_copy_of_other_files_or_for_another_base_is_made_anew(base, editable, random_base):
    shape = read_shape(base)
    load_adapter(editable.path, shape)
    editable.rewrite(lambda t: t.update({name: tensor + 1 for name, tensor in t.items()}))
    assert equal(load_adapter(editable.path, shape), from_peft(editable.path, shape))
    other = random_base("mistral", num_hidden_layers=2)
    assert "not in this base of 2 layers" in refusal(editable.path, other)


@packs
def test_a_broken_copy_is_none(base, editable):
    shape = read_shape(base)
    load_adapter(editable.path, shape)
    content = (editable.path / PACKED[torch.float32]).read_bytes()
    for broken in (content[:500], content[:-1000], b"", b"x" * 100):
        (editable.path / PACKED[torch.float32]).write_bytes(broken)
        assert equal(load_adapter(editable.path, shape), from_peft(editable.path, shape))


@packs
def test_a_folder_that_cannot_be_written_serves_all_the_same(base, editable, monkeypatch):
    from modiste.nn import packed_adapter

    def full(*arguments, **options):
        raise OSError("no room")

    monkeypatch.setattr(packed_adapter, "write", full)
    shape = read_shape(base)
    assert equal(load_adapter(editable.path, shape), from_peft(editable.path, shape))
    assert not (editable.path / PACKED[torch.float32]).exists()


@packs
@pytest.mark.slow
def test_a_thousand_adapters_open_in_a_second_and_take_little_until_used(
    base, random_adapter, tmp_path
):
    import shutil
    import time
    from pathlib import Path

    import psutil

    import modiste.bases.tiny

    tiny = Path(modiste.bases.tiny.__file__).parent
    shape = read_shape(tiny)
    load_adapter(first := random_adapter(tiny, r=4), shape)
    folders = [tmp_path / str(n) for n in range(1000)]
    for folder in folders:
        shutil.copytree(first, folder)  # Keeps the times that the copy was made of.
    process = psutil.Process()
    memory, cpu = process.memory_info().rss, time.process_time()
    held = [load_adapter(folder, shape).placed for folder in folders]
    assert len({one.address for one in held}) == 1000
    assert process.memory_info().rss - memory < 150e6
    # A second on an idle machine; CPU seconds with room for a busy one.
    assert time.process_time() - cpu < 3
