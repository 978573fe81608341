"""Memory and disk of the machine, as a container and a GPU's driver limit them."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from modiste.tune import room

MB = 1 << 20


def control_group(root: Path, *, line: str, folder: str, files: dict[str, str]) -> Path:
    (root / "proc/self").mkdir(parents=True, exist_ok=True)
    (root / "proc/self/cgroup").write_text(line + "\n")
    place = root / "sys/fs/cgroup" / folder
    place.mkdir(parents=True)
    for name, content in files.items():
        (place / name).write_text(content)
    return root


def test_this_machine_has_memory_a_name_and_disk(tmp_path: Path) -> None:
    found = room.look(tmp_path / "not" / "there" / "yet")
    assert 0 < found.free_bytes <= found.memory_bytes
    assert found.disk_free_bytes
    assert found.name


def test_without_limits_all_of_the_machine_may_be_used(tmp_path: Path) -> None:
    found = room.memory(tmp_path)
    assert found.total_bytes == psutil.virtual_memory().total
    assert not found.contained


def test_a_container_of_version_2_limits_memory(tmp_path: Path) -> None:
    files = {"memory.max": str(600 * MB), "memory.current": str(200 * MB)}
    root = control_group(tmp_path, line="0::/box/run", folder="box/run", files=files)
    assert room.memory(root) == (600 * MB, 400 * MB, True)


def test_the_limit_of_a_group_around_ours_counts_too(tmp_path: Path) -> None:
    files = {"memory.max": str(500 * MB), "memory.current": "0"}
    root = control_group(tmp_path, line="0::/box/run", folder="box", files=files)
    (tmp_path / "sys/fs/cgroup/box/run").mkdir()
    (tmp_path / "sys/fs/cgroup/box/run/memory.max").write_text("max\n")
    assert room.memory(root).total_bytes == 500 * MB


def test_a_container_of_version_1_limits_memory(tmp_path: Path) -> None:
    files = {"memory.limit_in_bytes": str(300 * MB), "memory.usage_in_bytes": str(100 * MB)}
    root = control_group(tmp_path, line="4:memory:/box", folder="memory/box", files=files)
    assert room.memory(root) == (300 * MB, 200 * MB, True)


def test_no_limit_in_the_words_of_version_1_is_none(tmp_path: Path) -> None:
    files = {"memory.limit_in_bytes": "9223372036854771712"}
    root = control_group(tmp_path, line="4:memory:/box", folder="memory/box", files=files)
    assert not room.memory(root).contained


def test_kills_of_the_kernel_are_counted_wherever_they_are_told(tmp_path: Path) -> None:
    assert room.out_of_memory_kills(tmp_path) == 0
    files = {"memory.events": "low 0\noom 3\noom_kill 2\n"}
    root = control_group(tmp_path, line="0::/box", folder="box", files=files)
    assert room.out_of_memory_kills(root) == 2
    (root / "proc/vmstat").write_text("nr_free_pages 5\noom_kill 7\n")
    assert room.out_of_memory_kills(root) == 7


def test_a_process_that_may_see_no_gpu_has_none() -> None:
    assert room.gpu({"CUDA_VISIBLE_DEVICES": ""}) is None
    assert room.gpu({"CUDA_VISIBLE_DEVICES": "-1"}) is None


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux tells which cores are ours")
def test_the_processor_is_named_with_its_cores(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("model name\t: Some CPU\nmodel name\t: Some CPU\n")
    assert room.processor(tmp_path) == f"Some CPU, {len(os.sched_getaffinity(0))} cores"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("flags\t\t: fpu avx512_bf16 amx_tile", True),
        ("flags\t\t: fpu avx2 avx512f", False),
        ("Features\t: fp asimd bf16", True),
        ("", False),
    ],
)
def test_processors_that_multiply_bf16_are_known_by_their_flags(
    tmp_path: Path, line: str, expected: bool
) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(f"model name\t: Some CPU\n{line}\n")
    assert room.multiplies_bf16(tmp_path) is expected
