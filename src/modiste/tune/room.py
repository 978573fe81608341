"""What this machine has for a training: memory, of the GPU where there is one, and disk.

Memory is what may be used at most: the machine's RAM or the limit of the container (cgroup v1 and
v2), whichever is less, and beside it what is free at this moment. Needs no torch: a GPU is asked
through the driver's own library.
"""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import psutil

ROOT = Path("/")
DEFAULT_THREADS = 2
"""Of a trainer. Fixed and small: more than the cores that are free makes every thread wait for the
slowest."""


@dataclass(frozen=True)
class Room:
    device: str
    """`cpu` or `cuda`."""
    name: str
    """Of the processor or the GPU."""
    memory_bytes: int
    """Of the device, at most."""
    free_bytes: int
    """Of it, now."""
    host_bytes: int
    """RAM; the same as `memory_bytes` without a GPU."""
    disk_free_bytes: int | None = None
    owner: str = "this machine"
    """Whose memory it is, for messages: `this machine`, `this container`, `the GPU`."""

    n_gpus: int = 0
    processes: int = 1
    """That train one job together on this machine; each has a GPU, where there are some."""
    shard_base: str = "auto"
    """Whether they may share out the base (settings)."""

    @property
    def told(self) -> str:
        """Whose memory it is, and who needs it."""
        if self.processes == 1:
            return self.owner
        each = "each of " if self.device != "cpu" else ""
        return f"{self.owner} (of {each}{self.processes} processes)"


class Memory(NamedTuple):
    total_bytes: int
    free_bytes: int
    contained: bool
    """A container has less than its machine."""


class Gpu(NamedTuple):
    name: str
    total_bytes: int
    free_bytes: int
    n: int = 1
    """That torch would use; all like the first."""


def look(folder: Path | None = None) -> Room:
    """The room for a run that writes into `folder`."""
    host = memory()
    disk = None if folder is None else disk_free(folder)
    found = gpu()
    if found is not None:
        size, free = found.total_bytes, found.free_bytes
        room = Room("cuda", found.name, size, free, host.total_bytes, disk, owner="the GPU")
        return replace(room, n_gpus=found.n)
    return Room(
        device="cpu",
        name=processor(),
        memory_bytes=host.total_bytes,
        free_bytes=host.free_bytes,
        host_bytes=host.total_bytes,
        disk_free_bytes=disk,
        owner="this container" if host.contained else "this machine",
    )


def memory(root: Path = ROOT) -> Memory:
    """RAM that this process may use."""
    here = psutil.virtual_memory()
    total, free, contained = here.total, here.available, False
    for limit, used in _limits(root):
        if limit < here.total:
            total, contained = min(total, limit), True
            free = min(free, max(0, limit - used))
    return Memory(total, min(free, total), contained)


def out_of_memory_kills(root: Path = ROOT) -> int:
    """How many processes the kernel has killed so far because memory ran out, as far as we see."""
    counts = [0]
    files = [root / "proc/vmstat", *(group / "memory.events" for group in _groups(root))]
    for file in files:
        for line in _read(file).splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill" and count.strip().isdigit():
                counts.append(int(count))
    return max(counts)


def disk_free(folder: Path) -> int | None:
    """Bytes that may be written where `folder` is or will be."""
    for place in (folder, *folder.absolute().parents):
        if place.exists():
            return shutil.disk_usage(place).free
    return None


def processor(root: Path = ROOT) -> str:
    """The processor's name, and how many of its cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    for line in _read(root / "proc/cpuinfo").splitlines():
        if line.startswith("model name"):
            return f"{line.partition(':')[2].strip()}, {cores} cores"
    return f"{cores} cores"


def multiplies_bf16(root: Path = ROOT) -> bool:
    """Whether the processor has instructions for it (AVX-512, AMX, Arm); False where it is not
    told."""
    text = _read(root / "proc/cpuinfo")
    flags = next((line for line in text.splitlines() if line.startswith(("flags", "Features"))), "")
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(flags.split())


def gpu(environment: Mapping[str, str] = os.environ) -> Gpu | None:
    """The first GPU that torch would use; None without one, or where torch is built for CPUs."""
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and not visible.split(",")[0].strip().isdigit():
        return None
    try:
        if "cpu" in version("torch"):
            return None
        driver = ctypes.CDLL("libnvidia-ml.so.1")
    except (PackageNotFoundError, OSError):
        return None
    found = _ask(driver, int(visible.split(",")[0]) if visible else 0)
    if found is None or visible is None:
        return found
    return found._replace(n=len(visible.split(",")))


class _NvmlMemory(ctypes.Structure):
    _fields_ = [(name, ctypes.c_ulonglong) for name in ("total", "free", "used")]


def _ask(driver: ctypes.CDLL, index: int) -> Gpu | None:
    handle, size, name = ctypes.c_void_p(), _NvmlMemory(), ctypes.create_string_buffer(96)
    count = ctypes.c_uint(1)
    if driver.nvmlInit_v2() != 0:
        return None
    try:
        failed = (
            driver.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(handle))
            or driver.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(size))
            or driver.nvmlDeviceGetName(handle, name, len(name))
            or driver.nvmlDeviceGetCount_v2(ctypes.byref(count))
        )
    finally:
        driver.nvmlShutdown()
    if failed:
        return None
    return Gpu(name.value.decode("utf-8", "replace"), size.total, size.free, count.value)


def _limits(root: Path) -> Iterator[tuple[int, int]]:
    """(limit, used) of every control group this process is in, from the inside out."""
    for group in _groups(root):
        for limit, used in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            text = _read(group / limit).strip()
            if text.isdigit():  # v2 says "max" where there is none, v1 a number close to 2**63
                spent = _read(group / used).strip()
                yield int(text), int(spent) if spent.isdigit() else 0


def _groups(root: Path) -> Iterator[Path]:
    """Folders of this process's control groups that count memory, inside out, both versions."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, name = rest.partition(":")
        if controllers not in ("", "memory"):
            continue
        top = root / "sys/fs/cgroup" / controllers
        place = top / name.lstrip("/")
        while True:
            yield place
            if place == top:
                break
            place = place.parent


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
