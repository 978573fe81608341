"""Real processes that meet over gloo on this machine, as torchrun would start them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]


class Ended(NamedTuple):
    code: int
    said: str


def environment(rank: int, size: int, port: int) -> dict[str, str]:
    return os.environ | {
        "RANK": str(rank),
        "WORLD_SIZE": str(size),
        "LOCAL_RANK": str(rank),
        "LOCAL_WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "GLOO_SOCKET_IFNAME": "lo",
        "OMP_WAIT_POLICY": "PASSIVE",
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(code: str, size: int, *arguments: str | Path) -> list[subprocess.Popen[str]]:
    """`size` processes running `code`, which finds what it needs in sys.argv."""
    port = free_port()
    return [
        subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            env=environment(rank, size, port),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(size)
    ]


def run(code: str, size: int, *arguments: str | Path, timeout_s: float = 500) -> list[Ended]:
    """How each ended and what it printed, by rank."""
    processes = start(code, size, *arguments)
    try:
        said = [process.communicate(timeout=timeout_s)[0] for process in processes]
        return [Ended(p.returncode, text) for p, text in zip(processes, said, strict=True)]
    finally:
        for process in processes:
            process.kill()
            process.wait()
