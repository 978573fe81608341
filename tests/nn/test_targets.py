"""Names of layers, matched as PEFT matches them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from modiste.errors import InvalidInput
from modiste.nn.loading import load_base
from modiste.nn.targets import Targets, as_peft, as_peft_parameters, chosen, matches

NAMES = ["layers.0.q_proj", "layers.0.o_proj", "layers.1.q_proj", "layers.11.q_proj"]


@pytest.mark.parametrize(
    ("target", "matched"),
    [
        ("q_proj", [0, 2, 3]),
        ("layers.1.q_proj", [2]),
        (r"layers\.(0|11)\.q_proj", [0, 3]),
        (r".*\.[qo]_proj", [0, 1, 2, 3]),
        ("proj", []),
    ],
)
def test_suffixes_whole_names_and_patterns(target: str, matched: list[int]) -> None:
    assert [i for i, name in enumerate(NAMES) if matches(name, target)] == matched


def test_a_broken_pattern_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"lora\.targets: '\(q_proj' is not a regular"):
        matches("q_proj", "(q_proj")


def test_what_is_written_for_peft_selects_exactly_what_was_adapted() -> None:
    assert as_peft(NAMES, NAMES, "all-linear") == ("o_proj", "q_proj")
    assert as_peft([NAMES[0], NAMES[2], NAMES[3]], NAMES, ["q_proj"]) == ("q_proj",)
    assert as_peft([NAMES[0]], NAMES, [r".*0\.q_proj"]) == ("layers.0.q_proj",)
    assert as_peft([], NAMES, ["experts"]) == ()
    experts = {f"layers.{i}.mlp.experts": ("gate_up_proj", "down_proj") for i in range(2)}
    everything = Targets({}, experts)
    assert as_peft_parameters(everything, everything) == (
        "mlp.experts.down_proj",
        "mlp.experts.gate_up_proj",
    )
    one = Targets({}, {"layers.1.mlp.experts": ("down_proj",)})
    assert as_peft_parameters(one, everything) == ("layers.1.mlp.experts.down_proj",)


def test_layers_to_transform_are_a_pattern(random_base: Callable[..., Path]) -> None:
    model = load_base(random_base("llama"), dtype=torch.float32).model
    found = chosen(model, [r"model\.layers\.[12]\.self_attn\.\w+"])
    assert len(found.linear) == 8
    assert not found.experts
    with pytest.raises(InvalidInput, match="lm_head names no linear layer"):
        chosen(model, ["lm_head"])
