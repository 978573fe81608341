"""The exact state of a run, in and out: how a killed trainer goes on as if nothing had happened.

A checkpoint is a folder with state.safetensors (adapter weights, both AdamW moments, torch's random
state) and state.json (step, counters, what it belongs to). It is written beside its final name,
synced and renamed, so a folder with the final name is complete; the last two are kept. A checkpoint
of other data, another spec or another base is refused, never continued.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from modiste.errors import TuningFailed

KEPT = 2
PREFIX = "step-"


@dataclass(frozen=True)
class Counters:
    """What a run has done so far; survives in state.json."""

    step: int = 0
    n_tokens: int = 0
    n_trained_tokens: int = 0
    loss_since: float = 0.0
    """Sum of the losses of all trained tokens since the last regular checkpoint."""
    targets_since: int = 0
    train_loss: float | None = None
    """As said at the last regular checkpoint."""
    valid_loss: float | None = None
    valid_token_accuracy: float | None = None
    base_valid_loss: float | None = None
    """Before the first step."""
    best_loss: float | None = None
    best_step: int | None = None
    evaluations_without_better: int = 0
    stopped_early: bool = False


class State(NamedTuple):
    counters: Counters
    tensors: dict[str, Tensor]


def save_checkpoint(
    folder: Path, counters: Counters, tensors: dict[str, Tensor], *, belongs_to: str
) -> Path:
    """Write the state of `counters.step`; older checkpoints but the last one go.

    `belongs_to` is a fingerprint of data, spec and base.

    Raises:
        TuningFailed: no space left, or the folder cannot be written; nothing older is lost.
    """
    final = folder / f"{PREFIX}{counters.step:08d}"
    partial = folder / f".partial-{counters.step:08d}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        everything = {**tensors, "random_state": torch.get_rng_state()}
        write_synced(partial / "state.safetensors", save(everything))
        about = {"belongs_to": belongs_to, **asdict(counters)}
        write_synced(partial / "state.json", json.dumps(about, indent=1).encode())
        shutil.rmtree(final, ignore_errors=True)
        partial.rename(final)
        _sync(folder)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise cannot_write(error, f"the checkpoint of step {counters.step}", folder) from error
    for old in _complete(folder)[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def load_checkpoint(folder: Path, *, belongs_to: str) -> State | None:
    """The newest readable checkpoint, torch's random state set to it; None where there is none.

    Raises:
        TuningFailed: checkpoints are there, but of another run, or none of them can be read.
    """
    unreadable: list[str] = []
    for path in reversed(_complete(folder)):
        try:
            about = json.loads((path / "state.json").read_bytes())
            tensors = load((path / "state.safetensors").read_bytes())
            owner = about.pop("belongs_to")
            counters = Counters(**about)
            torch.set_rng_state(tensors.pop("random_state"))
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            unreadable.append(f"{path.name} ({error})")
            continue
        if owner != belongs_to:
            raise TuningFailed(
                f"{path} belongs to a run with other data, another spec or another base; "
                "start a new job instead of changing one that has begun",
                code="checkpoint_mismatch",
            )
        return State(counters, tensors)
    if unreadable:
        raise TuningFailed(
            f"no checkpoint in {folder} can be read: {'; '.join(unreadable)}; "
            "remove the folder to start this job from its beginning",
            code="checkpoint_unreadable",
        )
    return None


def saved(folder: Path) -> list[dict[str, Any]]:
    """What the checkpoints there say of themselves, oldest first; unreadable ones say nothing."""
    found = []
    for path in _complete(folder):
        try:
            found.append(json.loads((path / "state.json").read_bytes()))
        except (OSError, ValueError):
            found.append({})
    return found


def take_out(flat: nn.Parameter, optimizer: torch.optim.AdamW) -> dict[str, Tensor]:
    """What a checkpoint keeps of the learning parameter and its moments."""
    moments = optimizer.state[flat]
    tensors = {
        "adapters": flat.detach(),
        "exp_avg": moments["exp_avg"],
        "exp_avg_sq": moments["exp_avg_sq"],
        "updates": moments["step"],
    }
    return {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}


def put_back(tensors: dict[str, Tensor], flat: nn.Parameter, optimizer: torch.optim.AdamW) -> None:
    """The inverse of `take_out`."""
    with torch.no_grad():
        flat.copy_(tensors["adapters"])
    optimizer.state[flat] = {
        "step": tensors["updates"],
        "exp_avg": tensors["exp_avg"].to(flat.device),
        "exp_avg_sq": tensors["exp_avg_sq"].to(flat.device),
    }


def cannot_write(error: OSError, what: str, folder: Path) -> TuningFailed:
    """The error of a failed write, saying what to do about it."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return TuningFailed(
            f"no space left while writing {what} to {folder}; free some space and start the job "
            "again, it continues from its last checkpoint",
            code="storage_full",
        )
    return TuningFailed(
        f"cannot write {what} to {folder}: {error.strerror or error}", code="storage_failed"
    )


def _complete(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob(f"{PREFIX}*") if path.is_dir())


def write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _sync(folder: Path) -> None:
    """Make the rename itself durable, where the system lets folders be synced."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def fingerprint_of(*parts: Any) -> str:
    """sha256 over JSON of the parts; bytes count as they are."""
    digest = hashlib.sha256()
    for part in parts:
        content = part if isinstance(part, bytes) else json.dumps(part, sort_keys=True).encode()
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()
