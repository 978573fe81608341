"""What a run computes on: device, dtype and threads, chosen once and kept with the run.

A sum depends in its last bits on how many threads and which dtype computed it. So the choice is
written to the run's folder before it is used, and a trainer that continues the run reads it back
instead of choosing again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
import torch

from modiste.errors import TuningFailed
from modiste.nn.base import BaseInfo
from modiste.tune.plan import MICROBATCH_TOKENS
from modiste.tune.spec import TuneSpec

DEFAULT_THREADS = 2
"""Fixed and small: more than the cores that are free makes every thread wait for the slowest."""
SHARE_OF_MEMORY = 0.6
GPU_MICROBATCH_TOKENS = 16_384
FP32_COPIES = 3
"""The weights as loaded, and packed for both directions (nn/frozen.py)."""


@dataclass(frozen=True)
class Machine:
    device: str
    dtype: str
    """`float32` or `bfloat16`, of the frozen base; adapters are always fp32."""
    threads: int

    @property
    def torch_dtype(self) -> torch.dtype:
        dtype: torch.dtype = getattr(torch, self.dtype)
        return dtype

    @property
    def microbatch_tokens(self) -> int:
        """Samples are computed together up to this many tokens."""
        return MICROBATCH_TOKENS if self.device == "cpu" else GPU_MICROBATCH_TOKENS

    def use(self) -> None:
        """Set torch's threads; must come before the first computation."""
        torch.set_num_threads(self.threads)


def for_run(run_dir: Path, info: BaseInfo, *, threads: int | None = None) -> Machine:
    """The machine this run began with, or a choice for a run that begins now.

    Raises:
        OSError: the run's folder cannot be written.
    """
    path = run_dir / "machine.json"
    if path.is_file():
        return Machine(**json.loads(path.read_text()))
    machine = choose(info, threads=threads)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(asdict(machine)))
    partial.rename(path)
    return machine


def choose(info: BaseInfo, *, threads: int | None = None) -> Machine:
    """fp32 where it fits: through oneDNN it is faster than bf16 for small bases, and exact."""
    threads = threads or min(DEFAULT_THREADS, os.cpu_count() or 1)
    if torch.cuda.is_available():
        return Machine("cuda", "bfloat16", threads)
    fits = info.n_parameters * 4 * FP32_COPIES < psutil.virtual_memory().total * SHARE_OF_MEMORY
    return Machine("cpu", "float32" if fits else "bfloat16", threads)


@contextmanager
def memory_explained(spec: TuneSpec) -> Iterator[None]:
    """Running out of memory inside the block becomes a TuningFailed that says what to lower."""
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise _out_of_memory(spec, error) from error
    except RuntimeError as error:  # what torch's CPU allocator raises
        if "can't allocate memory" not in str(error):
            raise
        raise _out_of_memory(spec, error) from error


def _out_of_memory(spec: TuneSpec, error: BaseException) -> TuningFailed:
    first_line = next(iter(str(error).strip().splitlines()), "out of memory")
    return TuningFailed(
        f"not enough memory: {first_line}; lower max_length (seq_len, now {spec.max_length}) or "
        f"lora.rank (now {spec.lora.rank}), use a smaller base, or free memory on this machine",
        code="out_of_memory",
    )
