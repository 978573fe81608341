"""Operations per token and the share of a device's peak."""

from __future__ import annotations

from dataclasses import replace

import pytest

from modiste.tune.flops import mfu, peak_of, per_token, per_token_forward

from .conftest import spec_of
from .test_plan import BASE

MISTRAL_7B = replace(BASE, n_parameters=7_248_023_552)


def test_lora_costs_four_operations_per_parameter_and_full_tuning_six() -> None:
    assert per_token(spec_of(), MISTRAL_7B) == 4 * MISTRAL_7B.n_parameters
    assert per_token(spec_of(method="full"), MISTRAL_7B) == 6 * MISTRAL_7B.n_parameters
    assert per_token_forward(MISTRAL_7B) == 2 * MISTRAL_7B.n_parameters


def test_experts_a_token_does_not_visit_cost_nothing() -> None:
    """Mixtral 8x7B: 46.7 B parameters, 12.9 B active (its model card)."""
    mixtral = replace(
        BASE,
        n_parameters=46_702_792_704,
        n_layers=32,
        hidden_size=4096,
        n_experts=8,
        n_experts_per_token=2,
        expert_size=14_336,
    )
    assert mixtral.n_active_parameters == pytest.approx(12.9e9, rel=0.01)


def test_the_published_best_on_an_h100_comes_out_at_about_two_fifths() -> None:
    """NeMo AutoModel: 12,472 tokens/s on Llama-3 8B, published as 402 TFLOP/s, 41 %."""
    llama = replace(BASE, n_parameters=8_030_261_248)
    share = mfu(spec_of(), llama, tokens_per_s=12_472, device_name="NVIDIA H100 80GB HBM3")
    assert share == pytest.approx(0.41, abs=0.02)


def test_devices_are_known_by_their_full_names() -> None:
    assert peak_of("NVIDIA H100 PCIe") == 7.56e14
    assert peak_of("NVIDIA H200") == 9.89e14
    assert peak_of("Tesla T4") == 0.65e14
    assert peak_of("some other device") is None
    assert mfu(spec_of(), BASE, tokens_per_s=1, device_name="some other device") is None
