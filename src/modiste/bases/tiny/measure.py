"""What the card states: bits per byte on held-out books, exact answers on unseen chats.

An answer is exact when greedy decoding would write it to the last token, its end included. That is
read off one forward pass: every trained token must be the most likely one after the true ones.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor

from modiste.bases.tiny.instruct import IGNORED, Encoded, collate
from modiste.bases.tiny.model import TinyMistral
from modiste.bases.tiny.pretrain import half_precision
from modiste.bases.tiny.tokenizer import BOS, CONTROL_TOKENS


class Exact(NamedTuple):
    """Chats of one task, and how many were answered exactly."""

    n: int
    n_exact: int


@torch.no_grad()
def bits_per_byte(
    model: TinyMistral, tokenizer: Tokenizer, documents: Sequence[str], *, window: int = 512
) -> float:
    """Documents cut into windows of tokens, each begun with <s>, every byte predicted once."""
    bos = CONTROL_TOKENS.index(BOS)
    n_bytes = sum(len(document.encode()) for document in documents)
    windows: list[Encoded] = []
    for document in documents:
        ids = tokenizer.encode(document, add_special_tokens=False).ids
        for at in range(0, len(ids), window):
            piece = ids[at : at + window]
            windows.append(Encoded("text", [bos, *piece[:-1]], piece))
    nats = 0.0
    for ids_BT, targets_BT in _batches(windows, rows=8):
        with half_precision():
            logits = model.logits(ids_BT).flatten(0, 1).float()
        nats += float(
            F.cross_entropy(logits, targets_BT.flatten(), ignore_index=IGNORED, reduction="sum")
        )
    return nats / math.log(2) / n_bytes


@torch.no_grad()
def exact_answers(model: TinyMistral, chats: Sequence[Encoded]) -> dict[str, Exact]:
    counts: dict[str, list[bool]] = defaultdict(list)
    ordered = sorted(chats, key=lambda chat: len(chat.ids))
    right: list[bool] = []
    for ids_BT, targets_BT in _batches(ordered, rows=32):
        wrong_BT = (model.logits(ids_BT).argmax(dim=-1) != targets_BT) & (targets_BT != IGNORED)
        right += [not bool(row) for row in wrong_BT.any(dim=1)]
    for chat, exact in zip(ordered, right, strict=True):
        counts[chat.task].append(exact)
    return {task: Exact(len(hits), sum(hits)) for task, hits in sorted(counts.items())}


def _batches(rows_of_ids: Sequence[Encoded], *, rows: int) -> Iterator[tuple[Tensor, Tensor]]:
    for at in range(0, len(rows_of_ids), rows):
        yield collate(rows_of_ids[at : at + rows])
