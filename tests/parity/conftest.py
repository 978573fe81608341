"""Random models of the families that must work, small enough for a laptop test."""

from __future__ import annotations

import pytest

FAMILIES = ["mistral", "llama", "qwen3"]


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)
