"""Rotary angles bit for bit as transformers computes them, also far out."""

import pytest
import torch
from transformers import AutoConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from modiste.nn.rotary import Rotary
from modiste.nn.shape import read_shape

SCALINGS = [
    {"rope_type": "default", "rope_theta": 1e6},
    {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0},
    {
        "rope_type": "llama3",
        "rope_theta": 5e5,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 256,
    },
]


@pytest.mark.parametrize("scaling", SCALINGS, ids=lambda s: s["rope_type"])
def test_angles_equal_those_of_transformers_at_every_position(random_base, scaling):
    path = random_base("llama", rope_parameters=scaling, head_dim=24)
    positions = torch.tensor([0, 1, 2, 77, 511, 40_000])
    rotary = Rotary(read_shape(path))
    rotary.at(positions[:2], last=1)
    cos, sin = rotary.at(positions, last=40_000)

    theirs = LlamaRotaryEmbedding(AutoConfig.from_pretrained(path))
    their_cos, their_sin = theirs(torch.zeros(1), positions[None])
    assert torch.equal(cos[:, 0], their_cos[0, :, :12])
    assert torch.equal(sin[:, 0], their_sin[0, :, :12])
