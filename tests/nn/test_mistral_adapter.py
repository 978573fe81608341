"""nn/mistral_adapter.py: lora.safetensors as mistral-finetune means it.

The reference here is the arithmetic of Mistral's own code, written out: rotary pairs next to each
other, W x + scaling * B (A x), weights under Mistral's names as they lie in the files.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from modiste.errors import InvalidInput
from modiste.nn import proof
from modiste.nn.adapter_io import AdapterLayer
from modiste.nn.changes import Change
from modiste.nn.export import export
from modiste.nn.mistral_adapter import linear_layers, load_mistral, save_mistral
from modiste.nn.tensor_files import TensorFiles

Make = Callable[..., Path]
IDS = [5, 17, 3, 99, 42, 7, 150, 8, 8, 61]


def random_layers(config: dict[str, object], *, rank: int = 3) -> dict[str, AdapterLayer]:
    generator = torch.Generator().manual_seed(1)
    from modiste.nn.consolidated import as_params

    sizes = linear_layers(as_params(config, where=Path("config.json")))
    return {
        name: AdapterLayer(
            torch.randn(rank, inputs, generator=generator) * 0.2,
            torch.randn(outputs, rank, generator=generator) * 0.2,
            1.5,
        )
        for name, (inputs, outputs) in sizes.items()
    }


def mistral_forward(base: Path, lora: Path, ids: list[int]) -> Tensor:
    """Logits as mistral-inference computes them from consolidated weights and a LoRA, in fp32."""
    params = json.loads((lora / "params.json").read_text())
    weights, ab = load_file(base / "consolidated.safetensors"), load_file(lora / "lora.safetensors")
    scaling, head = params["lora"]["scaling"], params["head_dim"]

    def linear(x: Tensor, name: str) -> Tensor:
        low = F.linear(F.linear(x, ab[f"{name}.lora_A.weight"]), ab[f"{name}.lora_B.weight"])
        return F.linear(x, weights[f"{name}.weight"]) + low * scaling

    def norm(x: Tensor, name: str) -> Tensor:
        return weights[name] * x * torch.rsqrt(x.pow(2).mean(-1, True) + params["norm_eps"])

    def rotate(x: Tensor) -> Tensor:  # (T, H, E): complex multiplication of neighbours
        frequencies = 1.0 / params["rope_theta"] ** (torch.arange(0, head, 2).float() / head)
        angles = torch.outer(torch.arange(len(x)).float(), frequencies)
        turned = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2)) * torch.polar(
            torch.ones_like(angles), angles
        ).unsqueeze(1)
        return torch.view_as_real(turned).flatten(2)

    def experts(x: Tensor, stem: str) -> Tensor:
        moe = params.get("moe")
        if not moe:
            gate = F.silu(linear(x, f"{stem}.w1")) * linear(x, f"{stem}.w3")
            return linear(gate, f"{stem}.w2")
        logits = F.linear(x, weights[f"{stem}.gate.weight"])
        chosen, index = torch.topk(logits, moe["num_experts_per_tok"])
        shares, out = chosen.softmax(dim=1), torch.zeros_like(x)
        for expert in range(moe["num_experts"]):
            rows, nth = torch.where(index == expert)
            name = f"{stem}.experts.{expert}"
            gate = F.silu(linear(x[rows], f"{name}.w1")) * linear(x[rows], f"{name}.w3")
            out[rows] += shares[rows, nth, None] * linear(gate, f"{name}.w2")
        return out

    h = weights["tok_embeddings.weight"][torch.tensor(ids)]
    for i in range(params["n_layers"]):
        x, stem = norm(h, f"layers.{i}.attention_norm.weight"), f"layers.{i}.attention"
        q = rotate(linear(x, f"{stem}.wq").view(len(ids), -1, head))
        k = rotate(linear(x, f"{stem}.wk").view(len(ids), -1, head))
        v = linear(x, f"{stem}.wv").view(len(ids), -1, head)
        repeats = params["n_heads"] // params["n_kv_heads"]
        k, v = k.repeat_interleave(repeats, 1), v.repeat_interleave(repeats, 1)
        scores = torch.einsum("ihe,jhe->hij", q, k) / head**0.5
        scores = scores.masked_fill(~torch.ones(len(ids), len(ids)).tril().bool(), -torch.inf)
        heads = torch.einsum("hij,jhe->ihe", scores.softmax(-1), v)
        h = h + linear(heads.flatten(1), f"{stem}.wo")
        h = h + experts(norm(h, f"layers.{i}.ffn_norm.weight"), f"layers.{i}.feed_forward")
    return F.linear(norm(h, "norm.weight"), weights["output.weight"])


@pytest.mark.parametrize("family", ["mistral", "mixtral"])
def test_files_compute_in_mistrals_arithmetic_what_transformers_computes(
    random_base: Make, tmp_path: Path, family: str
) -> None:
    base = random_base(family, head_dim=12, rms_norm_eps=1e-5)
    config = TensorFiles(base).config
    layers = random_layers(config)
    (tmp_path / "lora").mkdir()
    save_mistral(tmp_path / "lora", layers, config=config, dtype=torch.float32)
    export("merged-mistral", base=base, adapter=None, into=tmp_path / "base", verify=False)
    changes = {name: Change(*layer) for name, layer in layers.items()}
    wanted = proof.reference(base, changes, prompts=[IDS])
    found = mistral_forward(tmp_path / "base", tmp_path / "lora", IDS)
    # fp32 sums in another order; logits of size 10.
    assert torch.allclose(found, wanted.trained[0], atol=5e-4)
    assert not torch.allclose(found, (wanted.bare or [found])[0], atol=0.1)


def test_reading_is_the_inverse_of_writing(random_base: Make, tmp_path: Path) -> None:
    config = TensorFiles(random_base("mixtral", head_dim=12)).config
    layers = random_layers(config)
    save_mistral(tmp_path, layers, config=config, dtype=torch.float32)
    back = load_mistral(tmp_path, head_dim=12)
    assert back.keys() == layers.keys()
    for name, layer in layers.items():
        assert torch.equal(layer.A_RI, back[name].A_RI)
        assert torch.equal(layer.B_OR, back[name].B_OR)
    lora = json.loads((tmp_path / "params.json").read_text())["lora"]
    assert lora == {"enable": True, "rank": 3, "dropout": 0.0, "scaling": 1.5}


def test_one_rank_one_scaling_and_every_layer_are_made_without_changing_what_it_computes(
    random_base: Make, tmp_path: Path
) -> None:
    config = TensorFiles(random_base("mistral", head_dim=12)).config
    layers = random_layers(config)
    name = "model.layers.1.self_attn.q_proj"
    small = layers[name]
    layers[name] = AdapterLayer(small.A_RI[:2], small.B_OR[:, :2], 0.5)
    del layers["model.layers.0.mlp.up_proj"]
    save_mistral(tmp_path, layers, config=config, dtype=torch.float32)
    back = load_mistral(tmp_path, head_dim=12)
    delta = back[name].B_OR @ back[name].A_RI * back[name].scaling
    assert torch.allclose(delta, layers[name].B_OR @ layers[name].A_RI * 0.5, atol=1e-6)
    assert len(back[name].A_RI) == 3
    assert not back["model.layers.0.mlp.up_proj"].B_OR.any()


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    save_file(
        {"layers.0.attention.wq.lora_A.weight": torch.ones(2, 4)}, tmp_path / "lora.safetensors"
    )
    with pytest.raises(InvalidInput, match=r"params\.json is missing, so rank and scaling"):
        load_mistral(tmp_path, head_dim=2)
    (tmp_path / "params.json").write_text('{"lora": {"rank": 2}}')
    with pytest.raises(InvalidInput, match=r"lora\.scaling is None, expected a number"):
        load_mistral(tmp_path, head_dim=2)
    (tmp_path / "params.json").write_text('{"lora": {"rank": 2, "scaling": 2}}')
    with pytest.raises(InvalidInput, match=r"q_proj lacks a lora_A or lora_B"):
        load_mistral(tmp_path, head_dim=2)
    save_file({"layers.0.attention.wz.lora_A.weight": torch.ones(2)}, tmp_path / "lora.safetensors")
    with pytest.raises(InvalidInput, match=r"wz.lora_A.weight' is not a LoRA matrix"):
        load_mistral(tmp_path, head_dim=2)


@pytest.mark.parametrize("shapes", [((4,), (4,)), ((2, 8), (8, 3)), ((2, 8, 1), (8, 2))])
def test_matrices_that_do_not_fit_together_are_refused(
    tmp_path: Path, shapes: tuple[tuple[int, ...], tuple[int, ...]]
) -> None:
    stem = "layers.0.attention.wo"
    halves = zip(("lora_A", "lora_B"), shapes, strict=True)
    found = {f"{stem}.{half}.weight": torch.zeros(shape) for half, shape in halves}
    save_file(found, tmp_path / "lora.safetensors")
    (tmp_path / "params.json").write_text(json.dumps({"lora": {"scaling": 2.0}}))
    with pytest.raises(InvalidInput, match="fit together"):
        load_mistral(tmp_path, head_dim=4)
