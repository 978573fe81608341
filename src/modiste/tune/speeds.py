"""How fast this machine trains: what was measured here once, kept by what it depends on.

A measurement holds for one processor or GPU, one base, and the fields of the spec that decide what
is computed; it is kept as one small JSON file under its key, in a folder that may be deleted. Where
nothing was measured, speed is assumed from the size of the base, and the plan says so. No torch
here; `calibration` measures.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from modiste import __version__
from modiste.nn.base import BaseInfo
from modiste.tune import flops
from modiste.tune.memory import Load
from modiste.tune.room import Room
from modiste.tune.spec import TuneSpec

ASSUMED_FLOPS = 9e10
"""Of two current x86 cores in fp32 on a small base."""
ASSUMED_SHARE_OF_PEAK = 0.35
"""Of a GPU whose peak is known."""
ASSUMED_GPU_FLOPS = 4e13
IMPORTS_S = 6.0
"""The trainer's process, until torch and transformers are there."""
CERTIFICATE_S = 5.0
"""The engine asked, and another process until torch is there, which computes the other forms."""
LOADED_BYTES_PER_S = 5e8
"""Weights from the disk, converted and packed."""
TOKENISED_PER_S = 2e5
WRITTEN_BYTES_PER_S = 3e8
"""A checkpoint, synced."""
CHECKPOINT_S = 0.05


@dataclass(frozen=True)
class Speeds:
    tokens_per_s: float
    """Trained on: forward and backward, prompts included."""
    forward_tokens_per_s: float
    """Measured on: evaluation."""
    update_s: float = 0.0
    """What a step takes beside its tokens."""
    rests_on: str = ""
    """Finishes the sentence "Duration from N tokens/s, …"."""
    measured: bool = False


@dataclass(frozen=True)
class Duration:
    """Seconds by part."""

    start_s: float
    training_s: float
    evaluations_s: float
    checkpoints_s: float
    certificate_s: float

    @property
    def total_s(self) -> float:
        return float(sum(asdict(self).values()))


@dataclass(frozen=True)
class Work:
    """What there is to do."""

    train_tokens: int
    steps: int
    n_evaluations: int
    n_validation_tokens: int
    n_checkpoints: int
    checkpoint_bytes: int
    data_tokens: int
    reference_tokens: int = 0
    """Tokens that go through the model once before the first step: the reference of preferences."""


def duration(work: Work, base: BaseInfo, speeds: Speeds) -> Duration:
    loading = base.weights_bytes / LOADED_BYTES_PER_S
    reading = (work.data_tokens + work.n_validation_tokens) / TOKENISED_PER_S
    forward = work.n_evaluations * work.n_validation_tokens + work.reference_tokens
    writing = CHECKPOINT_S + work.checkpoint_bytes / WRITTEN_BYTES_PER_S
    return Duration(
        start_s=IMPORTS_S + loading + reading,
        training_s=work.train_tokens / speeds.tokens_per_s + work.steps * speeds.update_s,
        evaluations_s=forward / speeds.forward_tokens_per_s,
        checkpoints_s=work.n_checkpoints * writing,
        certificate_s=CERTIFICATE_S + loading,
    )


def assumed(spec: TuneSpec, base: BaseInfo, room: Room | None) -> Speeds:
    """From the size of the base alone."""
    reached = ASSUMED_FLOPS
    if room is not None and room.device != "cpu":
        peak = flops.peak_of(room.name)
        reached = ASSUMED_GPU_FLOPS if peak is None else peak * ASSUMED_SHARE_OF_PEAK
    per_token = flops.per_token(spec, base)
    if spec.gradient_checkpointing is True:
        per_token += flops.per_token_forward(base)
    return Speeds(
        tokens_per_s=reached / per_token,
        forward_tokens_per_s=reached / flops.per_token_forward(base),
        rests_on="assumed from the size of the base",
    )


def of_last_job(tokens_per_s: float, spec: TuneSpec, base: BaseInfo) -> Speeds:
    """As the last job on this base went."""
    ratio = flops.per_token(spec, base) / flops.per_token_forward(base)
    return Speeds(
        tokens_per_s=tokens_per_s,
        forward_tokens_per_s=tokens_per_s * ratio,
        rests_on="measured on this machine in the last job on this base",
        measured=True,
    )


def key(spec: TuneSpec, base: BaseInfo, load: Load, room: Room, *, threads: int) -> str:
    """Of everything that decides the speed; lengths to a power of two."""
    lora = spec.lora.model_dump(mode="json", exclude={"alpha"})
    parts: list[Any] = [__version__, room.device, room.name, threads, asdict(base), lora]
    parts += [spec.method, spec.dtype, spec.gradient_checkpointing, spec.microbatch_tokens]
    parts += [
        (load.longest - 1).bit_length(),
        (min(load.tokens_per_step, 1 << 14) - 1).bit_length(),
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:32]


def recall(folder: Path, of: str) -> Speeds | None:
    """What was measured under this key; an unreadable file is as good as none."""
    try:
        kept = json.loads((folder / f"{of}.json").read_text(encoding="utf-8"))
        return Speeds(**kept)
    except (OSError, ValueError, TypeError):
        return None


def remember(folder: Path, of: str, speeds: Speeds) -> None:
    """Whole or not at all. A folder that cannot be written only means measuring again."""
    partial = folder / f".{of}-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(asdict(speeds)), encoding="utf-8")
        partial.replace(folder / f"{of}.json")
    except OSError:
        partial.unlink(missing_ok=True)
