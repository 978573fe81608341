"""A base with adapters: attached without changing it, measured with and without them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from modiste.errors import InvalidInput
from modiste.tune.loss import Document, collate
from modiste.tune.machine import Machine
from modiste.tune.tuned import in_fp32, load

from .conftest import ONE_THREAD, spec_of

IDS = [5, 6, 7, 8, 9]


def test_logprobs_are_taken_with_and_without_the_adapter(base: Path) -> None:
    tuned = load(spec_of(), base, ONE_THREAD)
    fresh = tuned.logprobs(IDS)
    assert len(fresh) == len(IDS) - 1
    with torch.no_grad():
        for module in tuned.learned.modules.values():
            module.lora_B.normal_(std=0.1)
    assert tuned.logprobs(IDS, adapted=False) == pytest.approx(fresh, abs=1e-5)
    moved = [abs(a - b) for a, b in zip(tuned.logprobs(IDS), fresh, strict=True)]
    assert max(moved) > 0.01


def test_bf16_keeps_adapters_in_fp32_and_stays_near_fp32(base: Path) -> None:
    exact = load(spec_of(), base, ONE_THREAD)
    rough = load(spec_of(), base, Machine("cpu", "bfloat16", 1))
    assert rough.learned.flat.dtype is torch.float32
    # bf16 keeps 8 bits: a few per cent of logits of size 10.
    assert rough.logprobs(IDS) == pytest.approx(exact.logprobs(IDS), abs=0.5)


def test_what_is_compared_with_the_served_model_is_fp32(base: Path) -> None:
    exact = load(spec_of(), base, ONE_THREAD)
    rough = load(spec_of(), base, Machine("cpu", "bfloat16", 1))
    with torch.no_grad():
        for name, module in exact.learned.modules.items():
            module.lora_B.normal_(std=0.1)
            rough.learned.modules[name].lora_B.copy_(module.lora_B)
    again = in_fp32(rough, spec_of(), base)
    assert again.machine.dtype == "float32"
    # Packed and plain fp32 products sum in another order.
    assert again.logprobs(IDS) == pytest.approx(exact.logprobs(IDS), abs=1e-4)
    assert in_fp32(exact, spec_of(), base) is exact


def test_all_weights_are_compared_with_the_base_loaded_again(base: Path) -> None:
    spec = spec_of(method="full")
    tuned = load(spec, base, ONE_THREAD)
    untouched = tuned.logprobs(IDS)
    with torch.no_grad():
        tuned.learned.flat.add_(0.01 * torch.randn(tuned.learned.flat.shape))
    measured = in_fp32(tuned, spec, base)
    assert measured.logprobs(IDS) == tuned.logprobs(IDS) != untouched
    assert measured.logprobs(IDS, adapted=False) == pytest.approx(untouched, abs=1e-5)


def test_a_model_that_reads_weights_past_its_layers_is_refused_with_a_remedy(
    random_base: Callable[..., Path],
) -> None:
    base = random_base("mamba", state_size=4, pad_token_id=0)
    with pytest.raises(InvalidInput, match=r"lora\.targets"):
        load(spec_of(), base, ONE_THREAD)
    spec = spec_of(lora={"rank": 2, "targets": ["in_proj", "out_proj"]})
    assert len(load(spec, base, ONE_THREAD).learned.modules) == 2 * 3


def test_a_target_that_is_not_there_is_refused_with_those_that_are(base: Path) -> None:
    with pytest.raises(InvalidInput, match="wq names no linear layer") as raised:
        load(spec_of(lora={"targets": ["wq", "q_proj"]}), base, ONE_THREAD)
    assert "down_proj, gate_proj, k_proj" in raised.value.message


def test_the_likeliest_token_behind_each_is_told_with_its_lead(base: Path) -> None:
    tuned = load(spec_of(), base, ONE_THREAD)
    with torch.no_grad():
        for module in tuned.learned.modules.values():
            module.lora_B.normal_(std=0.1)
    told = tuned.likeliest(IDS)
    with torch.no_grad():
        own_NV = tuned.scorer.own_logits(collate([Document([*IDS, 0], [True] * (len(IDS) + 1))]))
    ordered_NV = own_NV.sort(dim=-1, descending=True).values
    assert told.ids == own_NV.argmax(-1).tolist()
    assert told.margins == pytest.approx((ordered_NV[:, 0] - ordered_NV[:, 1]).tolist(), abs=1e-4)
    assert len(told.ids) == len(IDS), "behind the last id too"
