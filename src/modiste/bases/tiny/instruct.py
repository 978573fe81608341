"""The instruction stage: generated chats, trained on what the assistant says and on nothing else.

Chats of similar length share a batch and are padded on the right, so no chat sees another. Every
eighth batch is plain text, which keeps the model from unlearning it.
"""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from modiste.bases.tiny.chats import Chat, Renderer
from modiste.bases.tiny.model import TinyMistral
from modiste.bases.tiny.pretrain import (
    Optimizer,
    Progress,
    Stream,
    half_precision,
    load_checkpoint,
    rows_of,
    save_checkpoint,
)
from modiste.bases.tiny.tokenizer import CONTROL_TOKENS, PAD

IGNORED = -100
PAD_ID = CONTROL_TOKENS.index(PAD)


@dataclass(frozen=True)
class InstructPlan:
    steps: int
    seed: int = 0
    warmup_steps: int = 20
    batch_tokens: int = 4_096
    text_every: int = 8
    muon_lr: float = 0.002
    embedding_lr: float = 0.002
    checkpoint_every: int = 50
    log_every: int = 25

    def lr_factor(self, step: int) -> float:
        return min((step + 1) / self.warmup_steps, (self.steps - step) / self.steps)


class Encoded(NamedTuple):
    """A chat as ids, with the target of each position; IGNORED where the text was given."""

    task: str
    ids: list[int]
    targets: list[int]


def encode(chat: Chat, renderer: Renderer, tokenizer: Tokenizer) -> Encoded:
    ids: list[int] = []
    trained: list[bool] = []
    for piece in renderer.pieces(chat):
        new = tokenizer.encode(piece.text, add_special_tokens=False).ids
        ids += new
        trained += [piece.trained] * len(new)
    targets = [token if on else IGNORED for token, on in zip(ids, trained, strict=True)]
    return Encoded(chat.task, ids[:-1], targets[1:])


def instruct(
    model: TinyMistral,
    chats: Sequence[Encoded],
    text: Stream,
    plan: InstructPlan,
    folder: Path,
    on_progress: Callable[[Progress], None],
) -> None:
    """Train to `plan.steps`; the chats are gone through in order, and again when they run out."""
    optimizer = Optimizer(model)
    first, spent_s = load_checkpoint(folder, model, optimizer)
    batches = make_batches(chats, plan)
    started = time.monotonic()
    losses: list[float] = []
    for step in range(first, plan.steps):
        is_text = step % plan.text_every == plan.text_every - 1
        if is_text:
            rows = rows_of(text, plan.batch_tokens // 256, 256, seed=plan.seed + 9, step=step)
            ids_BT = torch.from_numpy(np.stack(rows).astype(np.int64))
            ids_BT, targets_BT = ids_BT[:, :-1], ids_BT[:, 1:]
        else:
            ids_BT, targets_BT = collate(batches[step % len(batches)])
        with half_precision():
            loss = model(ids_BT, targets_BT)
        loss.backward()
        factor = plan.lr_factor(step)
        optimizer.step(muon_lr=plan.muon_lr * factor, embedding_lr=plan.embedding_lr * factor)
        if not is_text:
            losses.append(float(loss.detach()))
        done, wall_s = step + 1, spent_s + time.monotonic() - started
        if done % plan.log_every == 0 or done == plan.steps:
            mean = sum(losses) / len(losses)
            on_progress(Progress(done, mean, factor, done * plan.batch_tokens, wall_s))
            losses.clear()
        if done % plan.checkpoint_every == 0 or done == plan.steps:
            save_checkpoint(folder, model, optimizer, step=done, wall_s=wall_s)


def make_batches(chats: Sequence[Encoded], plan: InstructPlan) -> list[list[Encoded]]:
    """Batches of at most `batch_tokens` places each, of chats of like length, in random order."""
    batches: list[list[Encoded]] = [[]]
    for chat in sorted(chats, key=lambda chat: len(chat.ids)):
        if (len(batches[-1]) + 1) * len(chat.ids) > plan.batch_tokens:
            batches.append([])
        batches[-1].append(chat)
    random.Random(plan.seed).shuffle(batches)  # noqa: S311 - seeded on purpose
    return batches


def collate(batch: Sequence[Encoded]) -> tuple[Tensor, Tensor]:
    length = max(len(chat.ids) for chat in batch)
    ids_BT = torch.full((len(batch), length), PAD_ID)
    targets_BT = torch.full((len(batch), length), IGNORED)
    for row, chat in enumerate(batch):
        ids_BT[row, : len(chat.ids)] = torch.tensor(chat.ids)
        targets_BT[row, : len(chat.targets)] = torch.tensor(chat.targets)
    return ids_BT, targets_BT
