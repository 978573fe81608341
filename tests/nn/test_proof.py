"""nn/proof.py: equal is equal, and what proves nothing is not called a proof."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch

from modiste.nn import proof
from modiste.nn.base import describe_base
from modiste.nn.changes import Change
from modiste.nn.proof import Apart, Reference, Unproven, Verified

Make = Callable[..., Path]


def wanted(*, effect: float = 5.0, rounding: float = 0.0) -> Reference:
    trained = torch.randn(6, 40, generator=torch.Generator().manual_seed(1))
    return Reference([[1] * 6], [trained], [trained + effect], [trained + rounding])


def test_what_is_equal_is_verified_with_its_figures() -> None:
    asked = wanted(rounding=0.01)
    result = proof.compare(asked, [asked.intended[0] + 2e-5], read_by="X 1.0")
    assert isinstance(result, Verified)
    assert result.max_abs_diff == pytest.approx(2e-5, rel=0.1)
    assert str(result).startswith(
        "verified with X 1.0: logits at 6 positions at most 2.0e-05 apart"
    )
    assert "rounding weights for this form moves logits by up to 0.01;" in str(result)


@pytest.mark.parametrize("wrong", [0.01, float("nan"), float("inf")])
def test_what_is_apart_is_never_verified(wrong: float) -> None:
    asked = wanted()
    assert isinstance(proof.compare(asked, [asked.intended[0] + wrong], read_by="X"), Apart)


def test_an_effect_as_small_as_the_rounding_proves_nothing() -> None:
    asked = wanted(effect=0.01, rounding=0.009)
    assert isinstance(proof.compare(asked, asked.intended, read_by="X"), Unproven)


def test_an_adapter_that_changes_nothing_is_itself_verified() -> None:
    asked = wanted(effect=0.0)
    assert isinstance(proof.compare(asked, asked.intended, read_by="X"), Verified)


def test_merged_in_memory_equals_added_while_running(random_base: Make) -> None:
    base = random_base("mistral")
    change = Change(torch.randn(2, 48) * 0.3, torch.randn(48, 2) * 0.3, 1.5)
    changes = {"model.layers.1.self_attn.q_proj": change}
    both = proof.reference(base, changes, intend=lambda m, c: (proof.merge(m, c), None)[1])
    # fp32 sums in another order; logits of size 10.
    assert torch.allclose(both.trained[0], both.intended[0], atol=2e-4)
    assert both.bare is not None
    assert not torch.allclose(both.trained[0], both.bare[0], atol=0.1)
    assert both.prompts == proof.reference(base, {}).prompts


def test_a_model_too_large_to_compare_says_what_it_would_take(
    random_base: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = describe_base(random_base("mistral"))
    assert proof.room_for(info) is None
    free = psutil.virtual_memory()._replace(available=5_000_000_000)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    told = proof.room_for(replace(info, n_parameters=7_000_000_000))
    assert told == "comparing logits takes 36 GB of memory and 5 GB are free"
