"""What a run computes on is chosen once."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from modiste.errors import TuningFailed
from modiste.tune.machine import choose, for_run, memory_explained

from .conftest import spec_of
from .test_plan import BASE


def test_a_run_keeps_the_machine_it_began_with(tmp_path: Path) -> None:
    first = for_run(tmp_path, BASE, threads=3)
    assert first.threads == 3
    assert for_run(tmp_path, BASE, threads=1) == first


def test_two_threads_are_the_default() -> None:
    assert choose(BASE).threads == min(2, os.cpu_count() or 1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU computes in bf16")
def test_a_base_too_large_for_fp32_runs_in_bf16() -> None:
    assert choose(BASE).dtype == "float32"
    assert choose(replace(BASE, n_parameters=7_000_000_000_000)).torch_dtype is torch.bfloat16


def test_other_runtime_errors_are_not_called_memory() -> None:
    with pytest.raises(RuntimeError, match="something else"), memory_explained(spec_of()):
        raise RuntimeError("something else")
    with pytest.raises(TuningFailed), memory_explained(spec_of()):
        raise MemoryError
