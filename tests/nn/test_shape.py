"""Shapes are read as transformers reads them, or refused with every reason."""

import json

import pytest

from modiste.errors import InvalidInput
from modiste.nn.shape import Llama3Scaling, read_shape


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


def test_another_architecture_is_refused_by_name(random_base, tmp_path):
    path = rewrite(random_base("mistral"), tmp_path, model_type="mixtral")
    with pytest.raises(InvalidInput, match="'mixtral' is not served by the built-in engine"):
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
