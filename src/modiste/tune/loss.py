"""Next-token loss on the trained tokens of packed documents, without ever making all logits.

Hidden states are gathered at trained positions first; the frozen head, the softmax and the gradient
with respect to the hidden state then run in one pass over chunks of rows, so memory does not grow
with vocabulary times tokens. Works for any transformers causal LM: `Scorer.of` tries packing and
the plain head on the model at hand and falls back, per document and to the model's own head, where
they would not compute what the model computes.

Legend: T tokens of a row, N trained tokens, D hidden size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from modiste.nn import attention
from modiste.nn.attention import PackedInputs, packed_inputs
from modiste.nn.frozen import FrozenMatrix
from modiste.nn.greedy import Likeliest, likeliest
from modiste.nn.head import LearnedHead

CHUNK_ROWS = 128
"""Rows of logits alive at once; with 4k-128k entries each they stay near the cache."""
ROW_TOKENS = 32
RARE = 60.0
"""Nats; e^-87 is the last probability that fp32 holds in full."""
PROBE_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 3e-2, torch.float16: 1e-2}
"""Relative distance of logits; rounding is a tenth of it, an ignored mask or soft cap far more."""


class Document(NamedTuple):
    """One sample: token ids, and which of them are to be predicted (the first never can be)."""

    ids: Sequence[int] | NDArray[np.int32]
    mask: Sequence[bool] | NDArray[np.bool_]


class Batch(NamedTuple):
    ids: Tensor
    """(1, T): inputs of all documents, each without its last token."""
    packed: PackedInputs
    rows: Tensor
    """(N,) places in the row whose next token is trained."""
    targets: Tensor
    """(N,) those tokens."""
    owners: Tensor
    """(N,) number of the document each of them belongs to, from 0."""


class Measured(NamedTuple):
    """Sums over trained tokens (or pairs), so that batches add up to a true mean."""

    nll: float
    """Nats; of pairs, their losses."""
    n_correct: int | None
    """Tokens that were the most probable one; None where no single token is asked for."""
    n: int
    measures: Mapping[str, float] = {}
    """More sums, by name."""


def collate(documents: Sequence[Document], *, device: torch.device | str = "cpu") -> Batch:
    """Lay documents of at least two tokens one after the other.

    On a CPU a document of nothing fills the row up to a multiple of ROW_TOKENS: every new number of
    rows makes oneDNN compile its products anew, and keep them.
    """
    lengths = [len(d.ids) - 1 for d in documents]
    filler = [-sum(lengths) % ROW_TOKENS] if torch.device(device).type == "cpu" else [0]
    lengths += [n for n in filler if n]
    ids = torch.cat([torch.as_tensor(d.ids, dtype=torch.long)[:-1] for d in documents])
    ids = F.pad(ids, (0, filler[0]))
    following = torch.cat([torch.as_tensor(d.ids, dtype=torch.long)[1:] for d in documents])
    trained = torch.cat([torch.as_tensor(d.mask, dtype=torch.bool)[1:] for d in documents])
    rows = trained.nonzero().squeeze(1)
    owners = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))
    return Batch(
        ids=ids[None].to(device),
        packed=packed_inputs(lengths, device=device),
        rows=rows.to(device),
        targets=following[rows].to(device),
        owners=owners[rows].to(device),
    )


class Scorer:
    """A model with its head taken apart: loss for training, measures for evaluation."""

    def __init__(self, model: PreTrainedModel, *, packs: bool, plain_head: bool) -> None:
        self.model = model
        self.packs = packs
        self.head: FrozenMatrix | LearnedHead | None = _head(model) if plain_head else None
        if packs:
            attention.register()
            model.config._attn_implementation = attention.NAME

    @classmethod
    def of(cls, model: PreTrainedModel) -> Scorer:
        """Try both shortcuts on a few tokens and use those that change nothing."""
        with torch.no_grad():
            return cls(model, packs=_packing_is_exact(model), plain_head=_head_is_plain(model))

    def learn_head(self) -> None:
        """The head is no longer frozen (full fine-tuning)."""
        if self.head is not None:
            self.head = LearnedHead(cast(Any, self.model).get_output_embeddings())

    def loss(self, batch: Batch) -> Tensor:
        """Sum of the negative log-likelihoods of the targets, in nats, with gradient."""
        return self.nll(batch).double().sum().float()

    def nll(self, batch: Batch) -> Tensor:
        """(N,) negative log-likelihood of each target in fp32, with gradient."""
        if self.head is None:
            return F.cross_entropy(self.own_logits(batch), batch.targets, reduction="none")
        hidden_ND = self.states(batch)[batch.rows]
        if isinstance(self.head, LearnedHead):
            return self.head.nll(hidden_ND, batch.targets, rows=CHUNK_ROWS)
        nll_N: Tensor = cast(Any, _HeadLoss).apply(hidden_ND, batch.targets, self.head)
        return nll_N

    @torch.no_grad()
    def measure(self, batch: Batch) -> Measured:
        nll = correct = 0.0
        for logits_NV, targets_N in self._logits(batch):
            nll += float(F.cross_entropy(logits_NV, targets_N, reduction="sum"))
            correct += int((logits_NV.argmax(-1) == targets_N).sum())
        return Measured(nll, int(correct), batch.targets.numel())

    @torch.no_grad()
    def logprobs(self, batch: Batch) -> list[float]:
        """Log-probability of each target, teacher forced."""
        values: list[float] = []
        for logits_NV, targets_N in self._logits(batch):
            values += (-F.cross_entropy(logits_NV, targets_N, reduction="none")).tolist()
        return values

    @torch.no_grad()
    def likeliest(self, batch: Batch) -> Likeliest:
        """At the place of each target, whatever the target is."""
        parts = [likeliest(logits_NV) for logits_NV, _ in self._logits(batch)]
        return Likeliest(
            [token for part in parts for token in part.ids],
            [margin for part in parts for margin in part.margins],
        )

    def _logits(self, batch: Batch) -> Any:
        """Chunks of (logits in fp32 (C, V), targets (C,))."""
        if self.head is None:
            yield self.own_logits(batch), batch.targets
            return
        hidden_ND = self.states(batch)[batch.rows]
        for chunk_CD, targets_C in _chunks(hidden_ND, batch.targets):
            yield self.head.up(chunk_CD).float(), targets_C

    def states(self, batch: Batch) -> Tensor:
        """(T, D) of the last layer, normalised: what the head reads."""
        trunk = cast(Any, self.model).get_decoder()
        return torch.cat([trunk(**part).last_hidden_state[0] for part in self._parts(batch)])

    def own_logits(self, batch: Batch) -> Tensor:
        """(N, V) in fp32 through the model's own head, whatever it does."""
        outputs = [cast(Any, self.model)(**part).logits[0] for part in self._parts(batch)]
        return torch.cat(outputs)[batch.rows].float()

    def _parts(self, batch: Batch) -> list[dict[str, Any]]:
        """Arguments of the forwards: one for all documents, or one for each."""
        if self.packs:
            return [
                {
                    "input_ids": batch.ids,
                    "position_ids": batch.packed.position_ids,
                    "documents": batch.packed.documents,
                    "use_cache": False,
                }
            ]
        documents = torch.split(batch.ids[0], list(batch.packed.documents.lengths))
        return [{"input_ids": ids[None], "use_cache": False} for ids in documents]


class _HeadLoss(torch.autograd.Function):
    """Losses and their gradients in one pass, as the head is frozen: the gradient of a weighted
    sum is that of each row times its weight."""

    @staticmethod
    def forward(ctx: Any, hidden_ND: Tensor, targets_N: Tensor, head: FrozenMatrix) -> Tensor:
        nll_N = torch.empty(len(targets_N), dtype=torch.float32, device=hidden_ND.device)
        gradient_ND = torch.empty_like(hidden_ND)
        at = 0
        for chunk_CD, targets_C in _chunks(hidden_ND, targets_N):
            n = len(targets_C)
            if chunk_CD.device.type == "cpu":  # few shapes, as in collate; targets end earlier
                chunk_CD = F.pad(chunk_CD, (0, 0, 0, -n % ROW_TOKENS))
            logits_CV = head.up(chunk_CD)
            at_target = (torch.arange(len(targets_C), device=targets_C.device), targets_C)
            probability_CV = torch.softmax(logits_CV, dim=-1, dtype=torch.float32)
            nll_N[at : at + n] = _surprise(probability_CV, logits_CV, at_target)
            probability_CV[at_target] -= 1
            dchunk_CD = head.down(probability_CV.to(hidden_ND.dtype))
            gradient_ND[at : at + n] = dchunk_CD[:n]
            at += n
        ctx.save_for_backward(gradient_ND)
        return nll_N

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (gradient_ND,) = ctx.saved_tensors
        return gradient_ND * grads[0][:, None].to(gradient_ND.dtype), None, None


def _surprise(probability_CV: Tensor, logits_CV: Tensor, at: tuple[Tensor, Tensor]) -> Tensor:
    """(C,) -log of the targets' probabilities, from the logits where those are nearly nothing."""
    nll_C = probability_CV[at].log_().neg_()
    rare_C = (nll_C > RARE).nonzero().squeeze(1)
    if len(rare_C):
        logits = logits_CV[rare_C].float()
        nll_C[rare_C] = torch.logsumexp(logits, dim=-1) - logits_CV[at].float()[rare_C]
    return nll_C


def _chunks(hidden_ND: Tensor, targets_N: Tensor) -> Any:
    return zip(torch.split(hidden_ND, CHUNK_ROWS), torch.split(targets_N, CHUNK_ROWS), strict=True)


def _head(model: PreTrainedModel) -> FrozenMatrix:
    layer = cast(Any, model).get_output_embeddings()
    return FrozenMatrix(layer.weight, getattr(layer, "bias", None))


def probe(model: PreTrainedModel) -> Batch:
    """A few short documents, to try things out on a model."""
    vocabulary = model.config.get_text_config().vocab_size
    documents = [[(7 * i + 3) % vocabulary for i in range(n)] for n in (10, 4, 6)]
    return collate([Document(d, [True] * len(d)) for d in documents], device=model.device)


def _packing_is_exact(model: PreTrainedModel) -> bool:
    batch, native = probe(model), model.config._attn_implementation
    alone = Scorer(model, packs=False, plain_head=False).own_logits(batch)
    try:
        together = Scorer(model, packs=True, plain_head=False).own_logits(batch)
    except (attention.NotImplementedByPacking, TypeError, ValueError, RuntimeError):
        return False
    finally:
        model.config._attn_implementation = native
    return same(alone, together, dtype=model.dtype)


def _head_is_plain(model: PreTrainedModel) -> bool:
    layer = cast(Any, model).get_output_embeddings()
    if not isinstance(layer, torch.nn.Linear) or not hasattr(model, "get_decoder"):
        return False
    batch = probe(model)
    scorer = Scorer(model, packs=False, plain_head=False)
    try:
        plain = layer(scorer.states(batch)[batch.rows]).float()
    except (AttributeError, TypeError, ValueError, RuntimeError):
        return False
    return same(scorer.own_logits(batch), plain, dtype=model.dtype)


def same(expected: Tensor, actual: Tensor, *, dtype: torch.dtype) -> bool:
    """Whether two ways to compute logits differ by rounding only."""
    tolerance = PROBE_TOLERANCE.get(dtype, 1e-4)
    distance = (expected - actual).norm() / expected.norm().clamp_min(1e-12)
    return bool(distance < tolerance)
