"""What a run computes on: device, dtype and threads, chosen once and kept with the run.

A sum depends in its last bits on how many threads and which dtype computed it. So the choice is
written to the run's folder before it is used, and a trainer that continues the run reads it back
instead of choosing again. A run that ran out of memory goes on with `less`: fewer samples at once,
then activations computed twice. Both change rounding and nothing else, and are not part of what a
run is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch

from modiste.errors import TuningFailed
from modiste.nn.base import BaseInfo
from modiste.tune import memory, room
from modiste.tune.fits import SMALLEST
from modiste.tune.memory import MICROBATCH_TOKENS
from modiste.tune.room import DEFAULT_THREADS as DEFAULT_THREADS
from modiste.tune.spec import TuneSpec

FILLING = 1.25
"""Of a micro-batch: parts are cut where samples end, so they are of about one size."""


@dataclass(frozen=True)
class Machine:
    device: str
    dtype: str
    """`float32` or `bfloat16`, of the frozen base; adapters are always fp32."""
    threads: int
    at_once: int | None = field(default=None, repr=False)
    """Tokens computed at the same time, by all lanes; None: what suits the device."""
    lanes: int = field(default=1, repr=False)
    """Batches computed side by side, each by its share of the threads."""
    recompute: bool = field(default=False, repr=False)
    """Activations are computed twice, whatever the spec says."""

    @property
    def torch_dtype(self) -> torch.dtype:
        dtype: torch.dtype = getattr(torch, self.dtype)
        return dtype

    @property
    def tokens_at_once(self) -> int:
        return self.at_once or MICROBATCH_TOKENS[self.device]

    @property
    def microbatch_tokens(self) -> int:
        """Samples are computed together up to this many tokens."""
        return self.tokens_at_once // self.lanes

    def is_filled_by(self, n_tokens: int) -> bool:
        """Whether a batch of so many leaves no room for another beside it."""
        return n_tokens > FILLING * self.microbatch_tokens

    def recomputes(self, spec: TuneSpec) -> bool:
        """Whether gradient checkpointing is on."""
        return self.recompute or spec.gradient_checkpointing is True

    def less(self, spec: TuneSpec) -> Machine | None:
        """The same with less memory; None where nothing is left to save."""
        half = self.tokens_at_once // 2
        longest = spec.max_length or 0  # As planned: more than half of it has the longest sample.
        if half >= max(SMALLEST[self.device], longest // 2):
            return replace(self, at_once=half)
        return None if self.recomputes(spec) else replace(self, recompute=True)

    def use(self) -> None:
        """Set torch's threads; must come before the first computation."""
        torch.set_num_threads(self.threads)


def for_run(
    run_dir: Path, info: BaseInfo, *, threads: int | None = None, spec: TuneSpec | None = None
) -> Machine:
    """The machine this run began with, or a choice for a run that begins now.

    Raises:
        OSError: the run's folder cannot be written.
    """
    path = run_dir / "machine.json"
    if path.is_file():
        return Machine(**json.loads(path.read_text()))
    machine = choose(info, threads=threads, spec=spec)
    keep(run_dir, machine)
    return machine


def keep(run_dir: Path, machine: Machine) -> None:
    """From here on the run has this machine."""
    path = run_dir / "machine.json"
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(asdict(machine)))
    partial.rename(path)


def choose(info: BaseInfo, *, threads: int | None = None, spec: TuneSpec | None = None) -> Machine:
    """As the plan chose: dtype by memory.dtype_of, samples together by memory.microbatch_tokens."""
    spec = spec or TuneSpec.model_validate({"model": "any", "data": {"train": ["any"]}})
    threads = threads or min(DEFAULT_THREADS, os.cpu_count() or 1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    beside = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # Each holds a copy.
    host_bytes = room.memory().total_bytes // beside
    dtype = memory.dtype_of(spec, info, device=device, host_bytes=host_bytes)
    at_once = memory.microbatch_tokens(spec, device=device)
    lanes = memory.lanes(spec, device=device, threads=threads)
    return Machine(device, dtype, threads, at_once=at_once, lanes=lanes)


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
