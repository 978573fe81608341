"""Pairs: their loss, what a run with them says and keeps, and that it resumes to the bit."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from modiste.errors import TuningFailed
from modiste.tune.events import Event
from modiste.tune.group import Alone
from modiste.tune.mixture import Conversation, Samples, Source
from modiste.tune.preference import REFERENCE, Preference
from modiste.tune.sft import Done, Stop, Stopped
from modiste.tune.spec import Dpo
from modiste.tune.tuned import evaluate, load

from .conftest import ONE_THREAD, Killed, Run, samples_of, spec_of

MakeRun = Callable[..., Run]


def pairs_of(n: int, *, seed: int = 0, longest: int = 20, one_sided: int = 0) -> Samples:
    """A question of random tokens, and two answers; the first `one_sided` train no rejected one."""
    random = np.random.default_rng(seed)

    def answer(asked: list[int], trained: bool) -> Conversation:
        said = random.integers(0, 199, int(random.integers(2, longest))).tolist()
        return Conversation([*asked, *said], [False] * len(asked) + [trained] * len(said))

    made = []
    for at in range(n):
        asked = random.integers(0, 199, int(random.integers(3, longest))).tolist()
        made.append((answer(asked, True), answer(asked, at >= one_sided)))
    return Samples.of_pairs(made)


@pytest.fixture
def run(make_run: MakeRun) -> Callable[..., Run]:
    def make(name: str = "run", *, n: int = 12, **changes: object) -> Run:
        sources = [Source("pairs.jsonl", 1.0, pairs_of(n))]
        return make_run(name, sources=sources, validation=pairs_of(4, seed=1), **changes)

    return make


def test_a_pair_keeps_both_conversations_apart() -> None:
    samples = pairs_of(3)
    chosen, rejected = (np.flatnonzero(samples.splits == s) for s in samples.splits[:2])
    assert samples.has_pairs
    assert not samples_of(3).has_pairs
    for at in range(3):
        sample = samples[at]
        assert 0 < sample.split < len(sample.ids)
        parts = samples.n_targets_of_parts()[at]
        assert parts.tolist() == [
            int(sample.mask[: sample.split].sum()),
            int(sample.mask[sample.split :].sum()),
        ]
        assert samples.n_targets()[at] == parts.sum()
    assert len(chosen) == len(rejected) == 1


def test_the_first_token_of_either_conversation_is_never_a_target() -> None:
    everything = Conversation([1, 2, 3], [True] * 3)
    assert Samples.of_pairs([(everything, everything)]).n_targets().tolist() == [4]


def test_before_the_first_step_every_margin_is_zero_and_the_loss_ln_2(
    run: Callable[..., Run],
) -> None:
    """Fresh adapters change nothing: the model is its own reference."""
    began = run(max_steps=1)
    began.start()
    (step,) = began.named("step")
    # Rewards are differences of equal fp32 sums, packed alike or not: 1e-6 of about 100 nats.
    assert step.loss == pytest.approx(math.log(2), abs=1e-4)
    assert set(step.measures) == set(Preference.measures)
    assert abs(step.measures["reward_margin"]) < 1e-3


def test_the_chosen_answers_win(run: Callable[..., Run]) -> None:
    trained = run(n=4, max_steps=40, batch_size=4)
    trained.start()
    first, *_, last = trained.named("step")
    assert last.loss < 0.2 < first.loss
    assert last.measures["preference_accuracy"] == 1.0
    assert last.measures["reward_chosen"] > 0 > last.measures["reward_rejected"]


def test_steps_count_tokens_of_both_conversations_and_trained_ones(
    run: Callable[..., Run],
) -> None:
    trained = run(n=5, max_steps=1, batch_size=1, max_length=256)
    done = trained.start()
    assert isinstance(done, Done)
    samples = trained.sources[0].samples
    assert done.counters.n_tokens == samples.lengths.sum()
    assert done.counters.n_trained_tokens == samples.n_targets().sum()


def test_an_evaluation_tells_loss_accuracy_and_rewards_of_pairs(run: Callable[..., Run]) -> None:
    trained = run()
    done = trained.start()
    assert isinstance(done, Done)
    evaluated = trained.named("evaluated")[-1]
    assert evaluated.n_trained_tokens == 4
    assert evaluated.valid_token_accuracy is None
    assert 0 <= evaluated.measures["preference_accuracy"] <= 1
    assert trained.named("checkpoint")[-1].valid_loss == evaluated.valid_loss
    objective = Preference(done.tuned.scorer, ONE_THREAD, trained.spec.dpo)
    measured = evaluate(objective, trained.validation)
    assert measured.nll / measured.n == evaluated.valid_loss


def test_pairs_measured_together_have_the_losses_they_have_alone(run: Callable[..., Run]) -> None:
    trained = run()
    done = trained.start()
    assert isinstance(done, Done)
    objective = Preference(done.tuned.scorer, ONE_THREAD, trained.spec.dpo)
    samples = [trained.validation[at] for at in range(4)]
    (batch,) = objective.batches(samples)
    alone = [objective.measure(next(objective.batches([sample]))).nll for sample in samples]
    told = objective.losses(batch)
    assert [n for _, n in told] == [1] * 4
    # fp32, matrices of other heights; a margin is a small difference of large sums.
    assert [loss for loss, _ in told] == pytest.approx(alone, rel=1e-4)
    assert len({loss for loss, _ in told}) == 4


@pytest.mark.parametrize("kill_step", [1, 5, 8])
def test_a_run_killed_at_any_step_ends_with_the_same_bits(
    run: Callable[..., Run], kill_step: int
) -> None:
    undisturbed = run("undisturbed")
    undisturbed.start()
    killed = run("killed")
    with pytest.raises(Killed):
        killed.start(kill_at=lambda e: e.name == "step" and e.step == kill_step)
    killed.start()
    assert killed.losses() == undisturbed.losses()
    assert killed.adapter() == undisturbed.adapter()


def test_the_reference_is_computed_once_and_read_afterwards(
    run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    began = run()
    with pytest.raises(Killed):
        began.start(kill_at=lambda e: e.name == "step" and e.step == 6)
    assert (began.run_dir / REFERENCE).is_file()

    def never(*_: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(Preference, "_reference", never)
    assert isinstance(began.start(), Done)


def test_a_reference_of_another_run_or_half_written_is_computed_anew(
    run: Callable[..., Run],
) -> None:
    undisturbed = run("undisturbed")
    undisturbed.start()
    other = run("other", learning_rate=1e-3)
    other.start()
    for name, content in [
        ("foreign", (other.run_dir / REFERENCE).read_bytes()),
        ("torn", (undisturbed.run_dir / REFERENCE).read_bytes()[:50]),
    ]:
        again = run(name)
        (again.run_dir / REFERENCE).write_bytes(content)
        again.start()
        assert again.adapter() == undisturbed.adapter()


def test_a_run_stopped_while_it_prepares_ends_without_a_step(run: Callable[..., Run]) -> None:
    stopped = run()
    assert stopped.start(should_stop=lambda: Stop.CANCEL) == Stopped(Stop.CANCEL, 0)
    assert not stopped.named("step")


def test_a_long_preparation_says_how_far_it_is(
    run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modiste.tune.gauges.HEARTBEAT_S", 0.0)
    prepared = run(machine=replace(ONE_THREAD, at_once=64))
    prepared.start()
    said = prepared.named("preparing")
    assert [e.n_done for e in said] == sorted(e.n_done for e in said)
    assert said[-1].n_done == said[-1].n_samples == 16


def test_pairs_need_a_trained_token_on_both_sides(make_run: MakeRun) -> None:
    trained = make_run(
        n_validation=0,
        sources=[Source("pairs.jsonl", 1.0, pairs_of(6, one_sided=2))],
    )
    trained.start()
    assert trained.events[0].n_unused_samples == 2


def test_samples_that_are_no_pairs_are_refused_by_dpo(make_run: MakeRun) -> None:
    mixed = make_run(objective="dpo")
    with pytest.raises(
        TuningFailed, match="dpo needs pairs of answers; 30 of 30 samples"
    ) as raised:
        mixed.start()
    assert raised.value.error_code == "kind_not_trained"


def test_each_conversation_may_fill_a_sequence(make_run: MakeRun) -> None:
    long = Conversation([3] * 60, [False] + [True] * 59)
    trained = make_run(sources=[Source("p", 1.0, Samples.of_pairs([(long, long)]))], n_validation=0)
    assert isinstance(trained.start(), Done)
    assert trained.events[0].max_length == 64


def objective_on(base: Path, dpo: Dpo) -> tuple[Preference, Samples]:
    tuned = load(spec_of(), base, ONE_THREAD)
    generator = torch.Generator().manual_seed(0)
    objective, samples = Preference(tuned.scorer, ONE_THREAD, dpo), pairs_of(5)
    samples.reference = objective._reference([samples], Alone(), lambda *_: None)
    with torch.no_grad():
        tuned.learned.flat.add_(torch.randn(tuned.learned.flat.shape, generator=generator) * 0.05)
    return objective, samples


def test_label_smoothing_mixes_the_loss_of_the_pair_turned_round(base: Path) -> None:
    objective, samples = objective_on(base, Dpo(beta=0.5, label_smoothing=0.2))
    (batch,) = objective.batches([samples[i] for i in range(5)])
    smoothed = float(objective.loss(batch).loss.detach())
    objective.dpo = Dpo(beta=0.5)
    straight = float(objective.loss(batch).loss.detach())
    margins = objective.loss(batch).measures["reward_margin"]
    # log sigmoid(m) - log sigmoid(-m) = m, so the other way round costs the margins more.
    assert smoothed == pytest.approx(0.8 * straight + 0.2 * (straight + margins), rel=1e-9)
    assert abs(margins) > 0.1


@pytest.mark.parametrize("most_tokens", [30, 2048])
def test_the_sum_does_not_depend_on_how_pairs_are_cut_into_batches(
    base: Path, most_tokens: int
) -> None:
    objective, samples = objective_on(base, Dpo())
    everything = [samples[i] for i in range(5)]
    (whole,) = objective.batches(everything)
    expected = objective.measure(whole)
    objective.machine = replace(ONE_THREAD, at_once=most_tokens)
    parts = [objective.measure(batch) for batch in objective.batches(everything)]
    assert sum(part.n for part in parts) == expected.n == 5
    assert (len(parts) > 1) == (most_tokens == 30)
    # fp32 log-probabilities of packed and of lone documents, 1e-6 of about 100 nats.
    assert sum(part.nll for part in parts) == pytest.approx(expected.nll, abs=1e-4)


def test_events_of_pairs_are_plain_json(run: Callable[..., Run]) -> None:
    import json

    trained = run(max_steps=1)
    trained.start()
    said: list[Event] = trained.events
    assert json.loads(json.dumps([event.as_dict() for event in said]))
