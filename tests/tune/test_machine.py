"""What a run computes on is chosen once."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from modiste.errors import TuningFailed
from modiste.tune import room
from modiste.tune.machine import choose, for_run, keep, memory_explained

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


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU computes in bf16")
def test_several_processes_of_a_machine_share_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "multiplies_bf16", lambda: False)
    base = replace(BASE, n_parameters=round(room.memory().total_bytes * 0.6 / 12 * 0.8))
    assert choose(base).dtype == "float32"
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert choose(base).dtype == "bfloat16"


def test_other_runtime_errors_are_not_called_memory() -> None:
    with pytest.raises(RuntimeError, match="something else"), memory_explained(spec_of()):
        raise RuntimeError("something else")
    with pytest.raises(TuningFailed), memory_explained(spec_of()):
        raise MemoryError


def test_less_memory_is_fewer_samples_at_once_and_then_computing_twice() -> None:
    spec, machine, seen = spec_of(), choose(BASE), []
    while (machine := machine.less(spec)) is not None:  # type: ignore[assignment]
        seen.append((machine.tokens_at_once, machine.recomputes(spec)))
    if not torch.cuda.is_available():
        half = choose(BASE).tokens_at_once // 2
        smaller = [half >> n for n in range(4) if half >> n >= 256]
        assert seen == [*((tokens, False) for tokens in smaller), (256, True)]
    assert seen[-1][1] is True


def test_what_saves_memory_is_kept_with_the_run_and_is_no_part_of_what_it_is(
    tmp_path: Path,
) -> None:
    first = for_run(tmp_path, BASE, threads=1)
    smaller = first.less(spec_of())
    assert smaller is not None
    keep(tmp_path, smaller)
    again = for_run(tmp_path, BASE)
    assert again == smaller
    assert again.microbatch_tokens < first.microbatch_tokens
    assert str(again) == str(first)  # what the fingerprint of a checkpoint is made of


def test_the_spec_decides_dtype_and_micro_batch_where_it_says_them() -> None:
    asked = choose(BASE, spec=spec_of(dtype="bfloat16", microbatch_tokens=300))
    assert asked.dtype == "bfloat16"
    assert asked.tokens_at_once == 300
    assert choose(BASE, threads=2, spec=spec_of(microbatch_tokens=300)).microbatch_tokens == 150
