"""nn/servable.py: what is not served is told, without loading anything."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from modiste.nn.servable import why_not

Make = Callable[..., Path]


@pytest.mark.parametrize("family", ["mistral", "mixtral", "llama", "qwen2", "qwen3"])
def test_the_families_of_the_decoder_are_served(random_base: Make, family: str) -> None:
    assert why_not(random_base(family)) is None


def test_other_families_are_named(random_base: Make) -> None:
    told = why_not(random_base("gemma2", head_dim=12))
    assert told is not None
    assert "model_type 'gemma2' is not served by the built-in engine" in told


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"use_dora": False}, None),
        ({"use_dora": True}, "this adapter has DoRA"),
        ({"target_parameters": ["mlp.experts.down_proj"]}, None),
    ],
)
def test_more_than_plain_lora_is_not_served(
    random_base: Make, tmp_path: Path, config: dict[str, object], told: str | None
) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    found = why_not(random_base("mistral"), tmp_path)
    assert found is None if told is None else (found or "").endswith(told)
