"""Loss on trained tokens only; equality with PEFT and packing are held in tests/parity."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from modiste.nn.loading import load_base
from modiste.nn.lora import attach
from modiste.tune import loss as loss_module
from modiste.tune.loss import ROW_TOKENS, Document, Scorer, collate

DOCUMENTS = [
    Document([5, 6, 7, 8], [False, False, True, True]),
    Document([9, 10], [False, True]),
    Document([1, 2, 3], [True, True, False]),
]


def scorer_of(base: Path) -> Scorer:
    return Scorer.of(load_base(base, dtype=torch.float32).model)


def test_documents_are_laid_out_without_their_last_token() -> None:
    batch = collate(DOCUMENTS)
    assert batch.ids[0, :6].tolist() == [5, 6, 7, 9, 1, 2]
    assert batch.ids.shape == (1, ROW_TOKENS)  # filled up with a document of nothing
    assert not batch.ids[0, 6:].any()
    assert batch.packed.position_ids[0, :6].tolist() == [0, 1, 2, 0, 0, 1]
    assert batch.rows.tolist() == [1, 2, 3, 4]
    assert batch.targets.tolist() == [7, 8, 10, 2], "the first token is never a target"


def test_the_loss_is_the_sum_over_trained_tokens(random_base: Callable[..., Path]) -> None:
    scorer = scorer_of(random_base("mistral"))
    logprobs = [scorer.logprobs(collate([d])) for d in DOCUMENTS]
    expected = -sum(sum(values) for values in logprobs)
    # fp32, seven terms of up to 10 nats.
    assert float(scorer.loss(collate(DOCUMENTS)).detach()) == pytest.approx(expected, rel=1e-5)
    measured = scorer.measure(collate(DOCUMENTS))
    assert measured.nll == pytest.approx(expected, rel=1e-5)
    assert measured.n == 4


@pytest.mark.parametrize("rows", [1, 3, 128])
def test_chunks_of_the_head_add_up(
    random_base: Callable[..., Path], rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values and gradient, each row with a weight of its own, against plain cross-entropy."""
    scorer = scorer_of(random_base("mistral"))
    assert scorer.head is not None
    monkeypatch.setattr(loss_module, "CHUNK_ROWS", rows)
    torch.manual_seed(0)
    hidden = torch.randn(7, 48, requires_grad=True)
    targets = torch.randint(199, (7,))
    weights = torch.tensor([3.0, -1.0, 0.0, 0.5, 2.0, 1.0, -2.5])
    nll = loss_module._HeadLoss.apply(hidden, targets, scorer.head)
    (nll * weights).sum().backward()
    weight = scorer.model.get_output_embeddings().weight
    again = hidden.detach().clone().requires_grad_()
    expected = F.cross_entropy(again @ weight.t(), targets, reduction="none")
    (expected * weights).sum().backward()
    torch.testing.assert_close(nll.detach(), expected.detach(), rtol=1e-4, atol=1e-4)
    # fp32 sums of 199 terms; gradients are of size 10.
    torch.testing.assert_close(hidden.grad, again.grad, rtol=1e-4, atol=1e-4)


def test_a_head_that_does_more_than_a_matrix_is_left_to_the_model(
    random_base: Callable[..., Path],
) -> None:
    """Granite divides its logits, Gemma 2 caps them: a bare matrix would be another model."""
    path = random_base("granite", logits_scaling=4.0)
    scorer = scorer_of(path)
    assert scorer.head is None
    assert scorer.packs
    check_against_the_model(scorer)


def test_an_attention_that_packing_does_not_compute_runs_one_by_one(
    random_base: Callable[..., Path],
) -> None:
    scorer = scorer_of(
        random_base(
            "gemma2", head_dim=12, query_pre_attn_scalar=12, pad_token_id=0, sliding_window=9
        )
    )
    assert not scorer.packs
    check_against_the_model(scorer)


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("mistral", {"sliding_window": 3}),
        ("qwen2", {}),
        ("qwen3", {"head_dim": 12}),
        ("gemma", {"head_dim": 12}),
        ("phi3", {"pad_token_id": 0}),
        ("olmo2", {}),
        ("cohere", {}),
        ("stablelm", {"hidden_size": 64}),
        ("gpt_neox", {"hidden_act": "gelu"}),
    ],
)
def test_any_family_computes_what_it_computes_alone(
    random_base: Callable[..., Path], family: str, changes: dict[str, Any]
) -> None:
    check_against_the_model(scorer_of(random_base(family, **changes)))


def check_against_the_model(scorer: Scorer) -> None:
    """Logprobs of packed documents, and an adapter gradient, against one plain forward each."""
    torch.manual_seed(0)
    documents = [
        Document(torch.randint(199, (n,)).tolist(), [True] * n) for n in (12, 5, 30, 11, 2)
    ]
    actual = torch.tensor(scorer.logprobs(collate(documents)))
    implementation = scorer.model.config._attn_implementation
    scorer.model.config._attn_implementation = "eager"
    expected = []
    for document in documents:
        ids = torch.tensor([document.ids])
        logits = scorer.model(input_ids=ids).logits[0, :-1]
        expected.append(logits.log_softmax(-1).gather(1, ids[0, 1:, None]).squeeze(1))
    scorer.model.config._attn_implementation = implementation
    # fp32 attention and softmax in another order; logprobs of size 10.
    torch.testing.assert_close(actual, torch.cat(expected), rtol=1e-4, atol=1e-3)

    adapters = attach(scorer.model, rank=2, scaling=1.0)
    scorer.loss(collate(documents)).backward()
    norms = {n: float(m.lora_B.grad.norm()) for n, m in adapters.modules.items()}
    assert all(norm > 0 and math.isfinite(norm) for norm in norms.values()), norms


def test_a_model_without_attention_runs_its_documents_one_by_one(
    random_base: Callable[..., Path],
) -> None:
    """A state-space model would carry its state from one document into the next."""
    scorer = scorer_of(random_base("mamba", state_size=4, pad_token_id=0))
    assert not scorer.packs
    logprobs = [scorer.logprobs(collate([d])) for d in DOCUMENTS]
    together = scorer.logprobs(collate(DOCUMENTS))
    assert together == pytest.approx([value for values in logprobs for value in values], abs=1e-4)
