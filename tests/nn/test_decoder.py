"""The decoder against transformers: the same tokens and logits, whatever the family."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from modiste.nn import native
from modiste.nn.decoder import load_decoder
from modiste.nn.linear import Kind
from modiste.nn.parts import Span

LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
QWEN3_MOE = {
    "num_experts": 6,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 20,
    "head_dim": 16,
}
FAMILIES = {
    "mistral": ("mistral", {}),
    "mistral, window": ("mistral", {"sliding_window": 9}),
    "mistral, tied, head size of its own": (
        "mistral",
        {"tie_word_embeddings": True, "head_dim": 20},
    ),
    "ministral, alternating windows": (
        "ministral",
        {
            "sliding_window": 7,
            "head_dim": 12,
            "layer_types": ["full_attention", "sliding_attention", "full_attention"],
        },
    ),
    "llama 3.1 angles": ("llama", {"rope_parameters": LLAMA3}),
    "llama, linear angles": (
        "llama",
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 10_000.0, "factor": 2.0}},
    ),
    "llama, all biases, one head per group": (
        "llama",
        {"attention_bias": True, "mlp_bias": True, "num_key_value_heads": 4},
    ),
    "qwen2, tied": ("qwen2", {"tie_word_embeddings": True}),
    "qwen2, window from layer 1": (
        "qwen2",
        {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1},
    ),
    "qwen3": ("qwen3", {"head_dim": 16}),
    "mixtral": ("mixtral", {"num_local_experts": 4}),
    "mixtral, window, three of twenty experts": (
        "mixtral",
        {"num_local_experts": 20, "num_experts_per_tok": 3, "sliding_window": 9},
    ),
    "qwen3 moe, a layer without experts": (
        "qwen3_moe",
        {**QWEN3_MOE, "mlp_only_layers": [1], "attention_bias": True},
    ),
    "qwen3 moe, whole shares, experts in every second layer, window": (
        "qwen3_moe",
        {
            **QWEN3_MOE,
            "norm_topk_prob": True,
            "decoder_sparse_step": 2,
            "use_sliding_window": True,
            "sliding_window": 9,
        },
    ),
}


def reference(path):
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()


def prompt(length, seed=1):
    return torch.randint(0, 199, (length,), generator=torch.Generator().manual_seed(seed))


def all_logits(decoder, ids):
    cells = decoder.key_values(len(ids) + 16)
    return decoder.logits(decoder.hidden(ids, [Span(0, len(ids), 16, len(ids))], cells))


@pytest.fixture(autouse=True)
def _no_gradients():
    torch.set_num_threads(1)
    with torch.inference_mode():
        yield


@pytest.mark.parametrize("name", FAMILIES)
def test_logits_and_greedy_tokens_equal_transformers(random_base, name):
    family, changes = FAMILIES[name]
    path = random_base(family, **changes)
    model = reference(path)
    ids = prompt(41)

    expected, tokens = model(ids[None]).logits[0], reference_greedy(model, ids, 24)
    for kernels in (native.library, lambda: None):
        decoder = load_decoder(path, kernels=kernels)
        # All compute in float32; sums run in another order, over 3 layers of width 48. Logits are
        # about 10 in size, so 1e-4 is a hundred roundings.
        torch.testing.assert_close(all_logits(decoder, ids), expected, atol=1e-4, rtol=0)
        assert greedy(decoder, ids, 24) == tokens


def reference_greedy(model, ids, n):
    model.generation_config.eos_token_id = None
    everything = torch.ones(1, len(ids), dtype=torch.long)
    out = model.generate(ids[None], attention_mask=everything, max_new_tokens=n, do_sample=False)
    return out[0, len(ids) :].tolist()


def greedy(decoder, ids, n):
    cells = decoder.key_values(len(ids) + n)
    hidden = decoder.hidden(ids, [Span(0, len(ids), 0, len(ids))], cells)
    tokens = []
    for length in range(len(ids) + 1, len(ids) + 1 + n):
        tokens.append(int(decoder.logits(hidden[-1:]).argmax()))
        hidden = decoder.hidden(torch.tensor(tokens[-1:]), [Span(0, 1, 0, length)], cells)
    return tokens


@pytest.mark.skipif(native.library() is None, reason="torch rounds what meets bfloat16 weights")
@pytest.mark.parametrize("name", ["mistral", "mixtral", "qwen3 moe, a layer without experts"])
def test_a_base_in_bfloat16_is_computed_as_transformers_does_in_float32(random_base, name):
    family, changes = FAMILIES[name]
    path = random_base(family, dtype=torch.bfloat16, **changes)
    model, ids = reference(path), prompt(41)
    decoder = load_decoder(path, kind=Kind.BF16)
    expected = model(ids[None]).logits[0]
    torch.testing.assert_close(all_logits(decoder, ids), expected, atol=1e-4, rtol=0)
    assert greedy(decoder, ids, 24) == reference_greedy(model, ids, 24)


@pytest.mark.parametrize("kernels", [native.library, lambda: None])
@pytest.mark.parametrize(
    ("family", "changes", "kind"),
    [
        ("mistral", {"sliding_window": 30}, Kind.FP32),
        *(("mixtral", {"num_local_experts": 5}, kind) for kind in Kind),
        ("qwen3_moe", {**QWEN3_MOE, "norm_topk_prob": True}, Kind.FP32),
    ],
)
def test_a_row_has_the_same_bits_alone_and_in_a_crowd(random_base, kernels, family, changes, kind):
    """Experts too: how many rows come to one differs with the company."""
    decoder = load_decoder(random_base(family, **changes), kernels=kernels, kind=kind)
    ids, others = prompt(40), prompt(100, seed=2)

    def crowd(n_others):
        """40 tokens in pieces of 16, then one more token, beside other sequences."""
        cells = decoder.key_values(1000)
        logits = []
        for start, end in ((0, 16), (16, 32), (32, 40), (40, 41)):
            piece = others[:1] if start == 40 else ids[start:end]
            spans, rows = [], []
            for other in range(n_others):
                first = sum(len(r) for r in rows)
                n = 1 + other * 7
                spans.append(Span(first, n, 200 + 100 * other, n))
                rows.append(others[:n])
            first = sum(len(r) for r in rows)
            spans.append(Span(first, len(piece), 64, end))
            hidden = decoder.hidden(torch.cat([*rows, piece]), spans, cells)
            logits.append(decoder.logits(hidden[first:]))
        return torch.cat(logits)

    alone = crowd(0)
    for n_others in (1, 3, 7):
        assert torch.equal(crowd(n_others), alone)


def test_pieces_of_a_prompt_give_what_the_whole_prompt_gives(random_base):
    decoder = load_decoder(random_base("llama"))
    ids = prompt(50)
    cells = decoder.key_values(64)
    pieces = [
        decoder.hidden(ids[start:end], [Span(0, end - start, 0, end)], cells)
        for start, end in ((0, 16), (16, 32), (32, 50))
    ]
    torch.testing.assert_close(
        decoder.logits(torch.cat(pieces)), all_logits(decoder, ids), atol=1e-4, rtol=0
    )


def test_weights_of_a_shard_less_are_refused_with_names(random_base):
    from safetensors.torch import load_file, save_file

    from modiste.errors import InvalidInput

    path = random_base("mistral", seed=9)
    tensors = load_file(path / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    tensors["model.norm.weight"] = torch.ones(3)
    save_file(tensors, path / "model.safetensors")

    with pytest.raises(InvalidInput) as caught:
        load_decoder(path)
    assert "model.layers.1.mlp.up_proj.weight is missing" in caught.value.message
    assert "model.norm.weight is (3,), expected (48,)" in caught.value.message


@pytest.mark.parametrize("n_experts", [0, 4])
def test_the_consolidated_layout_gives_the_same_logits(random_base, tmp_path, n_experts):
    import json

    from safetensors.torch import load_file, save_file

    from modiste.nn.consolidated import LAYER_MODULES, MODULES, pairs_from_halves

    path = random_base("mixtral", num_local_experts=4) if n_experts else random_base("mistral")
    stored = {}
    for name, tensor in load_file(path / "model.safetensors").items():
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            tensor = pairs_from_halves(tensor, head_dim=12)
        name = name.replace("block_sparse_moe.experts", "feed_forward.experts")
        for theirs, ours in (LAYER_MODULES | MODULES).items():
            name = name.replace(f"{ours}.weight", f"{theirs}.weight")
        stored[name.removeprefix("model.")] = tensor.contiguous()
    names = sorted(stored)
    for part, chosen in ((1, names[:9]), (2, names[9:])):
        file = tmp_path / f"consolidated-0000{part}-of-00002.safetensors"
        save_file({name: stored[name] for name in chosen}, file)
    params = {
        "dim": 48, "n_layers": 3, "head_dim": 12, "hidden_dim": 72, "n_heads": 4,
        "n_kv_heads": 2, "norm_eps": 1e-6, "vocab_size": 199, "rope_theta": 10_000.0,
    }  # fmt: skip
    if n_experts:
        params |= {"norm_eps": 1e-5, "rope_theta": 1e6}
        params["moe"] = {"num_experts": n_experts, "num_experts_per_tok": 2}
    (tmp_path / "params.json").write_text(json.dumps(params))

    ids = prompt(30)
    assert torch.equal(all_logits(load_decoder(tmp_path), ids), all_logits(load_decoder(path), ids))


def test_the_base_that_ships_is_served_as_transformers_computes_it():
    from pathlib import Path

    import modiste.bases.tiny

    path = Path(modiste.bases.tiny.__file__).parent
    decoder, model = load_decoder(path), reference(path)
    ids = torch.randint(100, 4000, (90,), generator=torch.Generator().manual_seed(5))
    expected = model(ids[None]).logits[0]
    torch.testing.assert_close(all_logits(decoder, ids), expected, atol=1e-4, rtol=0)
    assert greedy(decoder, ids, 40) == reference_greedy(model, ids, 40)
