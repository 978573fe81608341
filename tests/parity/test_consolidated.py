"""Mistral's consolidated layout against a decoder written from Mistral's reference implementation.

The reference below rotates neighbouring pairs as complex numbers, as mistral-inference does; it
shares nothing with transformers or with our loader, so equal logits mean that names, shapes and
the rotary permutation are right.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from modiste.nn.base import Layout, describe_base
from modiste.nn.loading import load_base

PARAMS = {
    "dim": 48,
    "n_layers": 2,
    "head_dim": 16,
    "hidden_dim": 72,
    "n_heads": 4,
    "n_kv_heads": 2,
    "norm_eps": 1e-5,
    "vocab_size": 61,
    "rope_theta": 1e6,
}


def consolidated_weights(*, tied: bool) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator) * 1.5 / shape[-1] ** 0.5

    p = PARAMS
    q, kv = p["n_heads"] * p["head_dim"], p["n_kv_heads"] * p["head_dim"]
    weights = {
        "tok_embeddings.weight": random(p["vocab_size"], p["dim"]) * 5,
        "norm.weight": 1 + random(p["dim"]),
    }
    if not tied:
        weights["output.weight"] = random(p["vocab_size"], p["dim"]) * 5
    for i in range(p["n_layers"]):
        weights |= {
            f"layers.{i}.attention.wq.weight": random(q, p["dim"]),
            f"layers.{i}.attention.wk.weight": random(kv, p["dim"]),
            f"layers.{i}.attention.wv.weight": random(kv, p["dim"]),
            f"layers.{i}.attention.wo.weight": random(p["dim"], q),
            f"layers.{i}.feed_forward.w1.weight": random(p["hidden_dim"], p["dim"]),
            f"layers.{i}.feed_forward.w2.weight": random(p["dim"], p["hidden_dim"]),
            f"layers.{i}.feed_forward.w3.weight": random(p["hidden_dim"], p["dim"]),
            f"layers.{i}.attention_norm.weight": 1 + random(p["dim"]),
            f"layers.{i}.ffn_norm.weight": 1 + random(p["dim"]),
        }
    return weights


def reference_logits(weights: dict[str, Tensor], ids: Tensor) -> Tensor:
    p, n = PARAMS, len(ids)
    frequency = 1.0 / p["rope_theta"] ** (torch.arange(0, p["head_dim"], 2).float() / p["head_dim"])
    turns = torch.polar(torch.ones(n, p["head_dim"] // 2), torch.outer(torch.arange(n), frequency))

    def norm(x: Tensor, name: str) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + p["norm_eps"]) * weights[name]

    def rotate(x: Tensor) -> Tensor:  # (n, heads, head_dim)
        pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
        return torch.view_as_real(pairs * turns[:, None]).flatten(-2)

    def matrix(name: str, x: Tensor) -> Tensor:
        return x @ weights[f"{name}.weight"].t()

    h = weights["tok_embeddings.weight"][ids]
    for i in range(p["n_layers"]):
        at, ff = f"layers.{i}.attention", f"layers.{i}.feed_forward"
        x = norm(h, f"layers.{i}.attention_norm.weight")
        q = rotate(matrix(f"{at}.wq", x).view(n, p["n_heads"], -1))
        k = rotate(matrix(f"{at}.wk", x).view(n, p["n_kv_heads"], -1))
        v = matrix(f"{at}.wv", x).view(n, p["n_kv_heads"], -1)
        k, v = (y.repeat_interleave(p["n_heads"] // p["n_kv_heads"], 1) for y in (k, v))
        scores = torch.einsum("qhe,khe->hqk", q, k) / p["head_dim"] ** 0.5
        scores = scores.masked_fill(torch.ones(n, n, dtype=torch.bool).triu(1), -torch.inf)
        mixed = torch.einsum("hqk,khe->qhe", scores.softmax(-1), v).reshape(n, -1)
        h = h + matrix(f"{at}.wo", mixed)
        x = norm(h, f"layers.{i}.ffn_norm.weight")
        h = h + matrix(f"{ff}.w2", F.silu(matrix(f"{ff}.w1", x)) * matrix(f"{ff}.w3", x))
    head = "output" if "output.weight" in weights else "tok_embeddings"
    return matrix(head, norm(h, "norm.weight"))


@pytest.mark.parametrize("tied", [False, True], ids=["own head", "tied head"])
@pytest.mark.parametrize("shards", [1, 2])
def test_consolidated_weights_give_the_reference_logits(
    tmp_path: Path, tied: bool, shards: int
) -> None:
    weights = consolidated_weights(tied=tied)
    params = PARAMS | ({"tied_embeddings": True} if tied else {})
    (tmp_path / "params.json").write_text(json.dumps(params))
    names = sorted(weights)
    for number in range(shards):
        file = "consolidated.safetensors" if shards == 1 else (
            f"consolidated-{number + 1:05d}-of-{shards:05d}.safetensors"
        )  # fmt: skip
        save_file({name: weights[name] for name in names[number::shards]}, tmp_path / file)
    info = describe_base(tmp_path)
    assert info.layout is Layout.MISTRAL
    assert info.n_parameters == sum(w.numel() for w in weights.values())

    ids = torch.arange(30) * 7 % PARAMS["vocab_size"]
    model = load_base(tmp_path, dtype=torch.float32).model
    logits = model(input_ids=ids[None]).logits[0]
    # Logits are of size 10; fp32 sums of up to 72 terms in two layers leave about 1e-5.
    torch.testing.assert_close(logits, reference_logits(weights, ids), rtol=1e-4, atol=1e-4)


def test_the_same_weights_in_both_layouts_give_the_same_logits(tmp_path: Path) -> None:
    weights = consolidated_weights(tied=False)
    (tmp_path / "params.json").write_text(json.dumps(PARAMS))
    save_file(weights, tmp_path / "consolidated.safetensors")
    model = load_base(tmp_path, dtype=torch.float32).model
    hugging_face = tmp_path / "hf"
    model.save_pretrained(hugging_face)
    assert describe_base(hugging_face).layout is Layout.HUGGING_FACE

    ids = torch.arange(30)[None]
    again = load_base(hugging_face, dtype=torch.float32).model
    assert torch.equal(model(input_ids=ids).logits, again(input_ids=ids).logits)
