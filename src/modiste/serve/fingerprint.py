"""What the bits of an answer depend on besides the request and the model's files, in one name.

Two answers under one fingerprint to one seeded request are the same bytes. It says nothing about
load, prefix blocks or company: bits depend on none of them.
"""

from __future__ import annotations

import hashlib
import json
import platform

import numpy as np
import torch

import modiste
from modiste.serve.scheduler import GRANULE


def facts(*, linear: str, kernels: str, threads: int) -> dict[str, str | int]:
    """`linear` is how weights are kept, `kernels` which compiled ones run, or `torch`."""
    return {
        "modiste": modiste.__version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "machine": platform.machine(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "linear": linear,
        "kernels": kernels,
        "threads": threads,
        "granule": GRANULE,
    }


def fingerprint(facts: dict[str, str | int]) -> str:
    """`fp_` and ten hex digits."""
    return "fp_" + hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:10]
