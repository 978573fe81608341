"""Real data to inspect: kept outside of the repository, skipped where it is not."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

DATA = Path(os.environ.get("MODISTE_DATA") or Path(__file__).parents[4] / "shared" / "data")


@pytest.fixture
def data_file() -> Callable[[str], Path]:
    def find(name: str) -> Path:
        if not (DATA / name).is_file():
            pytest.skip(f"{name} not found through MODISTE_DATA or at ../shared/data")
        return DATA / name

    return find
