"""A few real steps, and the speed that follows from them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modiste.nn.base import describe_base
from modiste.tune import calibration
from modiste.tune.calibration import Cost, Sample, measure
from modiste.tune.memory import Load

from .conftest import ONE_THREAD, spec_of

SAMPLE = Sample(20, Load(40, 200))


def test_a_small_base_is_measured_whole(base: Path, tmp_path: Path) -> None:
    found = measure(spec_of(), base, describe_base(base), SAMPLE, ONE_THREAD, tmp_path)
    assert found.measured
    assert found.forward_tokens_per_s > found.tokens_per_s > 0
    assert found.update_s > 0
    assert not any(tmp_path.iterdir())


def test_the_layers_of_a_large_base_are_counted_on_from_two_short_models(
    random_base: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Time stands still here: a layer takes two seconds a token, everything else one."""

    def cost(*arguments: Any) -> Cost:
        n_layers = len(list((arguments[1]).glob("*.safetensors"))) and arguments[-1]
        return Cost(1 + 2 * n_layers, 0.5 + n_layers, 0.1 * n_layers)

    monkeypatch.setattr(calibration, "WHOLE_PARAMETERS", 0)
    monkeypatch.setattr(calibration, "_of", cost)
    base = random_base("mistral", num_hidden_layers=12)
    found = measure(spec_of(), base, describe_base(base), SAMPLE, ONE_THREAD, tmp_path)
    assert 1 / found.tokens_per_s == pytest.approx(1 + 2 * 12)
    assert 1 / found.forward_tokens_per_s == pytest.approx(0.5 + 12)
    assert found.update_s == pytest.approx(1.2)
    assert "1 and 3 layers" in found.rests_on


@pytest.mark.slow
@pytest.mark.parametrize("family", ["qwen3", "mixtral", "gemma2"])
def test_every_family_can_be_made_short(
    random_base: Callable[..., Path], tmp_path: Path, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "WHOLE_PARAMETERS", 0)
    window = {"sliding_window": 16} if family == "gemma2" else {}
    base = random_base(family, num_hidden_layers=4, **window)
    found = measure(spec_of(), base, describe_base(base), SAMPLE, ONE_THREAD, tmp_path)
    assert found.tokens_per_s > 0
