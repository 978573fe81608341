"""A run that several real trainers make together, and what they leave in its folder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from .test_training import TINY, Job, rows


class Several(Job):
    def launch(self, module: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", module, str(self.folder)],
            stdout=subprocess.DEVNULL,
            stderr=(self.folder / "log").open("ab"),
        )

    def to_end(self, process: subprocess.Popen[bytes]) -> int:
        try:
            return process.wait(timeout=500)
        finally:
            process.kill()

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def adapter(self) -> bytes:
        return (self.folder / "adapter" / "adapter_model.safetensors").read_bytes()


def make(
    folder: Path,
    *,
    processes: int = 2,
    ray_address: str | None = None,
    shard_base: str = "auto",
    train: list[Any] | None = None,
    **spec: Any,
) -> Several:
    folder.mkdir(exist_ok=True)
    files = {"train": train or rows(40, seed=1), "validation": rows(5, seed=2)}
    for name, content in files.items():
        lines = "".join(json.dumps(row) + "\n" for row in content)
        (folder / f"{name}.jsonl").write_text(lines)
    wanted = {
        "model": "modiste-tiny",
        "data": {"train": [{"path": "train.jsonl"}]},
        "lora": {"rank": 4},
        "max_steps": 14,
        "batch_size": 2,
        "max_length": 64,
        "learning_rate": 1e-3,
        "checkpoint_steps": 4,
    } | spec
    entries = {
        name: [{"path": str(folder / f"{name}.jsonl"), "filename": f"{name}.jsonl"}]
        for name in files
    }
    about = {
        "base_path": str(TINY),
        "spec": wanted,
        "threads": 1,
        "processes": processes,
        "ray_address": ray_address,
        "shard_base": shard_base,
    }
    (folder / "job.json").write_text(json.dumps(about | entries))
    return Several(folder)


def below(process: subprocess.Popen[bytes], *, named: str = "") -> list[psutil.Process]:
    """Its descendants, oldest first."""
    found = psutil.Process(process.pid).children(recursive=True)
    return [p for p in found if named in " ".join(p.cmdline())]


def gone(processes: list[psutil.Process], *, within_s: float = 60) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=within_s)
    return not alive


def rank_of(process: psutil.Process) -> int | None:
    rank = process.environ().get("RANK")
    return None if rank is None else int(rank)


def kill(process: psutil.Process) -> float:
    os.kill(process.pid, signal.SIGKILL)
    return time.monotonic()
