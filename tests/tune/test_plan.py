"""Steps, tokens, minutes, memory and cost, before anything runs."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from modiste.nn.base import BaseInfo, Layout
from modiste.tune.plan import Plan, plan
from modiste.tune.room import Room
from modiste.tune.spec import parse
from modiste.tune.speeds import Speeds

BASE = BaseInfo(
    n_parameters=5_902_592,
    max_context_length=1024,
    architecture="MistralForCausalLM",
    layout=Layout.HUGGING_FACE,
    vocab_size=4096,
    hidden_size=256,
    intermediate_size=576,
    n_layers=8,
    n_heads=8,
    n_kv_heads=2,
    head_dim=32,
    weights_bytes=11_805_184,
)


def planned(*, n_tokens: int = 60_000, n_examples: int = 500, **changes: Any) -> Plan:
    """Keyword arguments of the spec, or of `plan` where it has them."""
    of_plan = {
        name: changes.pop(name)
        for name in (
            "longest",
            "tokens_per_s",
            "price_micro_per_million_tokens",
            "n_trained_tokens",
            "n_validation_tokens",
            "n_reference_tokens",
            "measured",
            "room",
        )
        if name in changes
    }
    spec = parse({"model": "m", "data": {"train": ["a.jsonl"]}, **changes}).spec
    return plan(spec, n_tokens=n_tokens, n_examples=n_examples, base=BASE, **of_plan)


def test_with_nothing_given_about_three_epochs_are_planned_and_it_is_said() -> None:
    made = planned(longest=190)
    assert made.epochs == pytest.approx(3, rel=0.02)
    assert made.training_steps == pytest.approx(200, rel=0.1)
    assert "No length was given: 3 epochs." in made.details
    assert not made.problems


def test_the_spec_comes_back_complete() -> None:
    spec = planned(longest=190).spec
    assert None not in (spec.max_steps, spec.batch_size, spec.max_length)
    assert None not in (spec.checkpoint_steps, spec.eval_steps)
    again = plan(spec, n_tokens=60_000, n_examples=500, longest=190, base=BASE)
    assert again.spec == spec


def test_train_tokens_are_steps_times_tokens_per_step_and_epochs_follow() -> None:
    made = planned(max_steps=40, batch_size=4, max_length=512)
    assert made.train_tokens == 40 * made.train_tokens_per_step
    assert made.train_tokens_per_step <= 4 * 512
    assert made.epochs == made.train_tokens / 60_000
    assert made.data_tokens == 60_000


def test_epochs_become_steps() -> None:
    made = planned(epochs=5, batch_size=4, max_length=512)
    assert made.epochs == pytest.approx(5, rel=0.05)
    assert made.epochs >= 5


def test_steps_decide_where_both_are_given_and_it_is_said() -> None:
    made = planned(max_steps=10, epochs=5)
    assert made.training_steps == 10
    assert "steps decide" in made.details


def test_few_steps_do_not_become_large_ones() -> None:
    """A quick try of two steps must stay quick."""
    assert planned(max_steps=2).train_tokens < 10_000


def test_repeating_the_data_many_times_is_warned_about() -> None:
    made = planned(n_tokens=2_000, n_examples=20, max_steps=500, batch_size=4, max_length=512)
    assert made.epochs > 100
    assert "learn it by heart" in made.details


def test_shares_of_several_files_are_said() -> None:
    files = [{"path": "a.jsonl", "weight": 3}, {"path": "b.jsonl"}]
    details = planned(data={"train": files}).details
    assert "a.jsonl 75%" in details
    assert "b.jsonl 25%" in details


def test_duration_and_cost_follow_from_tokens() -> None:
    made = planned(max_steps=100, tokens_per_s=1000.0, price_micro_per_million_tokens=4_000_000)
    assert made.duration.training_s == pytest.approx(made.train_tokens / 1000)
    assert made.expected_duration_s == math.ceil(made.duration.total_s)
    assert made.cost_micro == pytest.approx(made.train_tokens * 4, abs=1)
    assert "measured on this machine" in made.details
    assert "assumed" in planned().details


def test_evaluations_and_references_take_their_time() -> None:
    made = planned(max_steps=100, tokens_per_s=1000.0)
    evaluated = planned(max_steps=100, tokens_per_s=1000.0, n_validation_tokens=30_000)
    compared = planned(max_steps=100, tokens_per_s=1000.0, n_reference_tokens=30_000)
    assert evaluated.expected_duration_s > compared.expected_duration_s > made.expected_duration_s


def test_a_measured_speed_wins_over_that_of_the_last_job() -> None:
    measured = Speeds(500.0, 1500.0, rests_on="measured by a test", measured=True)
    made = planned(max_steps=100, tokens_per_s=1000.0, measured=measured)
    assert made.duration.training_s == pytest.approx(made.train_tokens / 500)
    assert "500 tokens/s, measured by a test" in made.details


def test_what_does_not_fit_is_a_problem_beside_the_others() -> None:
    tiny = Room("cpu", "", 400_000_000, 400_000_000, 400_000_000)
    codes = [p.code for p in planned(max_length=2048, room=tiny).problems]
    assert codes == ["seq_len_too_long", "memory_too_small"]
    assert not planned(room=tiny, force=True).problems


def test_the_figures_are_json_and_add_up() -> None:
    room = Room("cuda", "NVIDIA H100 80GB HBM3", 80 * 10**9, 79 * 10**9, 64 * 10**9)
    figures = json.loads(json.dumps(planned(room=room, tokens_per_s=1e6).figures()))
    assert figures["memory"]["peak_bytes"] == sum(figures["memory"]["parts"].values())
    parts = {name: s for name, s in figures["duration"].items() if name != "total_s"}
    assert figures["duration"]["total_s"] == pytest.approx(sum(parts.values()))
    expected = 1e6 * 4 * BASE.n_parameters / 9.89e14  # the 4·N rule over the card's peak
    assert figures["mfu"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"max_length": 2048}, "seq_len_too_long"),
        ({"n_tokens": 0, "n_examples": 0}, "no_examples"),
        ({"n_trained_tokens": 0}, "no_trainable_tokens"),
    ],
)
def test_what_cannot_be_done_comes_back_as_a_problem(changes: dict, code: str) -> None:
    problems = planned(**changes).problems
    assert [problem.code for problem in problems] == [code]
    assert problems[0].hint


def test_all_problems_come_back_at_once() -> None:
    assert len(planned(max_length=2048, n_trained_tokens=0).problems) == 2
