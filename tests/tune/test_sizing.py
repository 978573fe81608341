"""Lengths, batches and steps that are left open."""

from __future__ import annotations

from typing import Any

import pytest

from modiste.tune.sizing import Sized, longest_allowed, sized
from modiste.tune.spec import parse

from .test_plan import BASE


def made(*, longest: int | None = None, **changes: Any) -> Sized:
    spec = parse({"model": "m", "data": {"train": ["a.jsonl"]}, **changes}).spec
    return sized(spec, BASE, n_tokens=60_000, n_examples=500, longest=longest)


def test_sequences_are_as_short_as_the_longest_sample_allows() -> None:
    assert made(longest=190).spec.max_length == 256
    assert made(longest=257).spec.max_length == 512
    assert made(longest=1000).spec.max_length == 1024
    assert made().spec.max_length == 1024


def test_the_longest_sample_is_bounded_by_spec_or_context() -> None:
    spec = parse({"model": "m", "data": {"train": ["a"]}}).spec
    assert longest_allowed(spec, BASE) == 1024
    assert longest_allowed(spec.model_copy(update={"max_length": 300}), BASE) == 300


def test_few_steps_do_not_become_large_ones() -> None:
    """A quick try of two steps must stay quick."""
    tried = made(max_steps=2)
    assert 2 * tried.tokens_per_step < 10_000


def test_data_is_cut_into_about_two_hundred_steps() -> None:
    assert made(longest=190).spec.max_steps == pytest.approx(200, rel=0.1)


def test_epochs_become_steps_and_steps_decide_where_both_are_given() -> None:
    five = made(epochs=5, batch_size=4, max_length=512)
    assert (five.spec.max_steps or 0) * five.tokens_per_step >= 5 * 60_000
    both = made(epochs=5, max_steps=7)
    assert both.spec.max_steps == 7
    assert "steps decide" in both.said[0]
