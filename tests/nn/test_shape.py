"""Shapes are read as transformers reads them, or refused with every reason."""

import json

import pytest
from transformers import AutoConfig

from modiste.errors import InvalidInput
from modiste.nn.shape import Llama3Scaling, Mixture, read_shape


def rewrite(path, tmp_path, **changes):
    """The model in `path` under another config.json."""
    config = json.loads((path / "config.json").read_text()) | changes
    config = {key: value for key, value in config.items() if value != "absent"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").symlink_to(path / "model.safetensors")
    return tmp_path


def test_sizes_and_tying_are_read(random_base):
    shape = read_shape(random_base("mistral", tie_word_embeddings=True, head_dim=20))
    assert (shape.vocab_size, shape.hidden_size, shape.intermediate_size) == (199, 48, 72)
    assert (shape.n_heads, shape.n_kv_heads, shape.head_size, shape.context) == (4, 2, 20, 512)
    assert shape.tied
    assert shape.windows == (None, None, None)
    assert shape.kv_bytes_per_token == 2 * 3 * 40 * 4


def test_a_mistral_that_does_not_say_has_the_window_transformers_gives_it(random_base, tmp_path):
    path = rewrite(random_base("mistral"), tmp_path, sliding_window="absent")
    assert read_shape(path).windows == (4096,) * 3


def test_rotary_settings_are_read_in_the_old_words_too(random_base, tmp_path):
    scaling = {
        "rope_type": "llama3",
        "factor": 32.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    path = rewrite(
        random_base("llama"),
        tmp_path,
        rope_parameters="absent",
        rope_theta=500_000.0,
        rope_scaling=scaling,
    )
    shape = read_shape(path)
    assert shape.rope_theta == 500_000.0
    assert shape.rope_scaling == Llama3Scaling(32.0, 1.0, 4.0, 8192.0)


def test_which_layers_are_mixtures_and_of_what_is_read(random_base):
    mixtral = read_shape(random_base("mixtral", num_local_experts=4))
    assert mixtral.mixture == Mixture(4, 2, 72, whole=True, layers=(True, True, True))
    assert (mixtral.rope_theta, mixtral.norm_eps) == (1e6, 1e-5)
    sizes = {"num_experts": 6, "num_experts_per_tok": 3, "moe_intermediate_size": 20}
    qwen = read_shape(random_base("qwen3_moe", **sizes, num_hidden_layers=4, decoder_sparse_step=2))
    assert qwen.mixture == Mixture(6, 3, 20, whole=False, layers=(False, True, False, True))
    skips = random_base("qwen3_moe", **sizes, norm_topk_prob=True, mlp_only_layers=[0])
    assert read_shape(skips).mixture == Mixture(6, 3, 20, whole=True, layers=(False, True, True))
    assert [read_shape(skips).is_mixture(layer) for layer in range(3)] == [False, True, True]
    assert not read_shape(random_base("qwen3")).is_mixture(0)


def test_a_mixture_that_does_not_say_how_many_experts_it_asks_is_refused(random_base, tmp_path):
    path = rewrite(random_base("mixtral", num_local_experts=4), tmp_path, num_experts_per_tok=5)
    with pytest.raises(InvalidInput, match="5 of 4 experts for each token"):
        read_shape(path)


def test_a_mixtral_that_says_little_is_read_as_transformers_reads_it(random_base, tmp_path):
    left_out = ("sliding_window", "rope_parameters", "rms_norm_eps", "head_dim")
    path = rewrite(random_base("mixtral"), tmp_path, **dict.fromkeys(left_out, "absent"))
    shape, config = read_shape(path), AutoConfig.from_pretrained(path)
    assert config.rope_parameters["rope_theta"] == shape.rope_theta
    assert config.rms_norm_eps == shape.norm_eps
    assert (config.sliding_window,) * 3 == shape.windows


def test_another_architecture_is_refused_by_name(random_base, tmp_path):
    path = rewrite(random_base("mistral"), tmp_path, model_type="gemma2")
    with pytest.raises(InvalidInput, match="'gemma2' is not served by the built-in engine"):
        read_shape(path)


def test_everything_that_is_not_computed_is_named_at_once(random_base, tmp_path):
    path = rewrite(
        random_base("mistral"),
        tmp_path,
        hidden_act="gelu",
        quantization_config={"quant_method": "awq"},
        rope_parameters={"rope_type": "yarn", "rope_theta": 1e6, "factor": 4.0},
    )
    with pytest.raises(InvalidInput) as caught:
        read_shape(path)
    for word in ("hidden_act 'gelu'", "quantised", "rotary scaling 'yarn'"):
        assert word in caught.value.message
