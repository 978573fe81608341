"""Pre-training: one loop of steps, a schedule made of phases, and state that lives in two files.

The learning rate is constant and then falls to zero over the last `decay_steps` ("WSD"), so a run
may be shortened: stop it, and resume the last checkpoint with a smaller `--steps`. What a step
reads depends on the seed and the step only; a resumed run reads what an unbroken one would have.
"""

import contextlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from modiste.bases.tiny.model import TinyMistral
from modiste.bases.tiny.muon import Muon

log = logging.getLogger(__name__)
Stream = npt.NDArray[np.uint16]  # token ids of documents, each <s> … </s>, one after another


@dataclass(frozen=True)
class Plan:
    """How long, how fast, and of what a batch consists; a batch is always `batch_tokens` tokens."""

    steps: int
    decay_steps: int
    seed: int = 0
    warmup_steps: int = 50
    batch_tokens: int = 4_096
    muon_lr: float = 0.005
    embedding_lr: float = 0.008
    checkpoint_every: int = 50
    log_every: int = 25

    def lr_factor(self, step: int) -> float:
        rising = min(1.0, (step + 1) / self.warmup_steps)
        falling = (self.steps - step) / self.decay_steps
        return min(rising, falling, 1.0)

    def phase(self, step: int) -> "Phase":
        left = self.steps - step
        if left > self.decay_steps:
            return STEADY
        return DECAY if left > self.decay_steps // 8 else LONG


@dataclass(frozen=True)
class Phase:
    """Tokens in a row, and rows of each stream in a batch."""

    length: int
    corpus: int
    shaped: int
    chats: int


STEADY = Phase(length=256, corpus=15, shaped=1, chats=0)
DECAY = Phase(length=512, corpus=5, shaped=1, chats=2)
LONG = Phase(length=2_048, corpus=1, shaped=0, chats=1)


@dataclass(frozen=True)
class Streams:
    corpus: Stream
    shaped: Stream
    chats: Stream


@dataclass(frozen=True)
class Progress:
    """What the loop tells: `on_progress` writes it down."""

    step: int
    loss: float
    lr_factor: float
    n_tokens: int
    wall_s: float


class Optimizer:
    """Muon for the matrices of the layers, AdamW for the embedding and the norms."""

    def __init__(self, model: TinyMistral) -> None:
        named = dict(model.named_parameters())
        matrices = {n: p for n, p in named.items() if p.ndim == 2 and "embed_tokens" not in n}
        self.rest = {n: p for n, p in named.items() if n not in matrices}
        self.muon = Muon(matrices)
        self.adamw = torch.optim.AdamW(
            self.rest.values(), betas=(0.9, 0.95), weight_decay=0.0, fused=True
        )

    def step(self, *, muon_lr: float, embedding_lr: float) -> None:
        self.muon.step(muon_lr)
        self.adamw.param_groups[0]["lr"] = embedding_lr
        self.adamw.step()
        self.adamw.zero_grad()
        for matrix in self.muon.matrices.values():
            matrix.grad = None

    def state(self) -> dict[str, Tensor]:
        state = self.muon.state()
        for name, parameter in self.rest.items():
            for key, value in self.adamw.state[parameter].items():
                state[f"adamw.{key}.{name}"] = value
        return state

    def load(self, state: dict[str, Tensor]) -> None:
        self.muon.load(state)
        for name, parameter in self.rest.items():
            self.adamw.state[parameter] = {
                key: state[f"adamw.{key}.{name}"] for key in ("step", "exp_avg", "exp_avg_sq")
            }


def pretrain(
    model: TinyMistral,
    streams: Streams,
    plan: Plan,
    folder: Path,
    on_progress: Callable[[Progress], None],
) -> None:
    """Train to `plan.steps`, from the checkpoint in `folder` when one is there."""
    optimizer = Optimizer(model)
    first, spent_s = load_checkpoint(folder, model, optimizer)
    started = time.monotonic()
    losses: list[float] = []
    for step in range(first, plan.steps):
        ids_BT = batch(streams, plan, step)
        with half_precision():
            loss = model(ids_BT[:, :-1], ids_BT[:, 1:])
        loss.backward()
        factor = plan.lr_factor(step)
        optimizer.step(muon_lr=plan.muon_lr * factor, embedding_lr=plan.embedding_lr * factor)
        losses.append(float(loss.detach()))
        done, wall_s = step + 1, spent_s + time.monotonic() - started
        if done % plan.log_every == 0 or done == plan.steps:
            mean = sum(losses) / len(losses)
            on_progress(Progress(done, mean, factor, done * plan.batch_tokens, wall_s))
            losses.clear()
        if done % plan.checkpoint_every == 0 or done == plan.steps:
            save_checkpoint(folder, model, optimizer, step=done, wall_s=wall_s)


@contextlib.contextmanager
def half_precision() -> Iterator[None]:
    """Matrix products in bf16, weights and optimizer in fp32."""
    with torch.autocast("cpu", torch.bfloat16):
        yield


def batch(streams: Streams, plan: Plan, step: int) -> Tensor:
    phase = plan.phase(step)
    parts = (
        (streams.corpus, phase.corpus),
        (streams.shaped, phase.shaped),
        (streams.chats, phase.chats),
    )
    rows = [
        row
        for salt, (stream, count) in enumerate(parts)
        for row in rows_of(stream, count, phase.length, seed=plan.seed + salt, step=step)
    ]
    return torch.from_numpy(np.stack(rows).astype(np.int64))


def rows_of(stream: Stream, count: int, length: int, *, seed: int, step: int) -> list[Stream]:
    """The rows of one step: a shuffled walk through the stream, cut anew every time round."""
    per_round = (len(stream) - 1) // length - 1
    rows = []
    for index in range(step * count, (step + 1) * count):
        rng = np.random.default_rng((seed, index // per_round))
        cut = int(rng.integers(length))
        order = rng.permutation(per_round)
        at = cut + int(order[index % per_round]) * length
        rows.append(stream[at : at + length + 1])
    return rows


def save_checkpoint(
    folder: Path, model: TinyMistral, optimizer: Optimizer, *, step: int, wall_s: float
) -> None:
    """The tensors first, then the line that names them: a torn write keeps the older pair."""
    tensors = {n: p.detach() for n, p in model.named_parameters()} | optimizer.state()
    name = f"checkpoint-{step:06d}.safetensors"
    save_file(tensors, folder / f"{name}.part")
    os.replace(folder / f"{name}.part", folder / name)
    state = folder / "state.json"
    (folder / "state.json.part").write_text(
        json.dumps({"step": step, "wall_s": round(wall_s, 1), "tensors": name})
    )
    os.replace(folder / "state.json.part", state)
    for old in sorted(folder.glob("checkpoint-*.safetensors"))[:-2]:
        old.unlink()


def load_checkpoint(
    folder: Path, model: TinyMistral, optimizer: Optimizer | None
) -> tuple[int, float]:
    """Step and seconds already spent; (0, 0) in a fresh folder."""
    state_file = folder / "state.json"
    if not state_file.exists():
        return 0, 0.0
    state = json.loads(state_file.read_text())
    tensors = load_file(folder / state["tensors"])
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(tensors[name])
    if optimizer is not None:
        optimizer.load(tensors)
    log.info("resumed %s at step %d", state["tensors"], state["step"])
    return int(state["step"]), float(state["wall_s"])
