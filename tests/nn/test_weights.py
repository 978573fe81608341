"""Every tensor of a decoder has a place and a size, for each family."""

import pytest
from safetensors import safe_open

from modiste.nn.shape import read_shape
from modiste.nn.weights import Weights, expected_sizes


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        *((family, {}) for family in ("mistral", "ministral", "llama", "qwen2", "qwen3")),
        ("mixtral", {"num_local_experts": 3}),
        ("qwen3_moe", {"num_experts": 9, "moe_intermediate_size": 20, "mlp_only_layers": [1]}),
    ],
)
def test_expected_tensors_are_those_that_transformers_saves(random_base, family, changes):
    path = random_base(family, head_dim=12, **changes)
    with safe_open(path / "model.safetensors", framework="pt") as tensors:
        saved = {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
    assert expected_sizes(read_shape(path)) == saved


def test_tensors_outlive_their_files(random_base):
    path = random_base("mistral")
    with Weights.open(path, read_shape(path)) as weights:
        norm = weights.get("model.norm.weight")
    assert norm.shape == (48,)
