"""The recipe: it learns, says what it does, ends as asked, and resumes to the bit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from modiste.errors import TuningFailed
from modiste.nn.adapter_io import load_peft
from modiste.tune import machine, methods, resume, sft
from modiste.tune.events import Event
from modiste.tune.group import Alone, Answer
from modiste.tune.lanes import Item, Lanes
from modiste.tune.mixture import Origin, Samples, Source
from modiste.tune.objective import NextToken
from modiste.tune.sft import Done, Stop, Stopped
from modiste.tune.tuned import evaluate, load

from .conftest import Killed, Run, samples_of, spec_of

MakeRun = Callable[..., Run]


def test_the_loss_falls_on_what_is_trained(make_run: MakeRun) -> None:
    run = make_run(n=4, max_steps=30)
    run.start()
    losses = [loss for loss, _ in run.losses().values()]
    # Four random samples are learnt by heart: from a wrong-everywhere start of 5 nats and more.
    assert sum(losses[-3:]) / 3 < 0.7 * losses[0]


def test_a_run_says_every_step_with_rate_tokens_and_speed(make_run: MakeRun) -> None:
    run = make_run()
    done = run.start()
    assert isinstance(done, Done)
    started, steps = run.events[0], run.named("step")
    assert (started.total_steps, started.n_samples, started.packed) == (12, 30, True)
    assert [s.step for s in steps] == list(range(1, 13))
    assert all(s.tokens_per_s > s.trained_tokens_per_s > 0 for s in steps)
    assert steps[-1].eta_s == 0
    tokens = [s.n_tokens for s in steps]
    assert tokens == sorted(tokens)
    assert done.counters.n_tokens == tokens[-1] > done.counters.n_trained_tokens > 0


def test_evaluation_and_checkpoints_come_when_asked_and_at_the_end(make_run: MakeRun) -> None:
    run = make_run(checkpoint_steps=5, eval_steps=4)
    run.start()
    assert [e.step for e in run.named("evaluated")] == [0, 4, 8, 12]
    assert [c.step for c in run.named("checkpoint")] == [5, 10, 12]
    first, second, last = run.named("checkpoint")
    assert first.valid_loss == run.named("evaluated")[1].valid_loss
    assert last.valid_loss == run.named("evaluated")[-1].valid_loss
    steps = run.named("step")
    trained = [steps[0].n_trained_tokens] + [
        b.n_trained_tokens - a.n_trained_tokens for a, b in pairwise(steps)
    ]
    mean = sum(s.loss * n for s, n in zip(steps[5:10], trained[5:10], strict=True))
    # Sums of ten doubles in another order.
    assert second.train_loss == pytest.approx(mean / sum(trained[5:10]), rel=1e-12)


def test_without_validation_samples_metrics_stay_empty(make_run: MakeRun) -> None:
    run = make_run(n_validation=0)
    run.start()
    assert not run.named("evaluated")
    assert all(c.valid_loss is None for c in run.named("checkpoint"))


def test_evaluation_is_the_mean_over_tokens_not_over_batches(make_run: MakeRun) -> None:
    run = make_run(max_steps=1)
    done = run.start()
    assert isinstance(done, Done)
    nll, n = 0.0, 0
    for i in range(len(run.validation)):
        ids, mask, *_ = run.validation[i]
        logprobs = done.tuned.logprobs(ids.tolist())
        nll -= sum(lp for lp, trained in zip(logprobs, mask[1:], strict=True) if trained)
        n += int(mask[1:].sum())
    measured = evaluate(NextToken(done.tuned.scorer, done.tuned.machine), run.validation)
    event = run.named("evaluated")[-1]
    assert measured.n == n == event.n_trained_tokens
    # fp32 log-likelihoods of up to 10 nats, summed in another order.
    assert measured.nll == pytest.approx(nll, rel=1e-5)
    assert event.valid_loss == pytest.approx(nll / n, rel=1e-5)
    assert 0 <= event.valid_token_accuracy <= 1
    assert event.valid_token_accuracy == measured.n_correct / n


@pytest.mark.parametrize("batches", [64, 2048])
def test_the_loss_does_not_depend_on_how_a_step_is_cut_into_batches(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, batches: int
) -> None:
    """A mean over batches would weigh a short batch as much as a long one."""
    whole = make_run("whole", max_steps=2, batch_size=6)
    whole.start()
    monkeypatch.setitem(machine.MICROBATCH_TOKENS, "cpu", batches)
    cut = make_run("cut", max_steps=2, batch_size=6)
    cut.start()
    for step, (loss, norm) in whole.losses().items():
        # fp32 gradients summed in another order, and one update made from them.
        assert cut.losses()[step] == pytest.approx((loss, norm), rel=1e-4)


class OneLane(Lanes[Item]):
    def __init__(self, n: int, flat: nn.Parameter, **options: Any) -> None:
        assert n == 2
        super().__init__(1, flat, **options)


def test_lanes_change_no_bit_of_a_run(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other or two at a time."""
    machine_of_two = machine.Machine("cpu", "float32", 1, at_once=64, lanes=2)
    runs = [make_run(f"{n}", batch_size=4, machine=machine_of_two) for n in range(2)]
    with monkeypatch.context() as patch:
        patch.setattr(sft, "Lanes", OneLane)
        runs[0].start()
    runs[1].start()
    assert runs[0].losses() == runs[1].losses()
    assert runs[0].named("evaluated") == runs[1].named("evaluated")
    assert runs[0].adapter() == runs[1].adapter()


class InStep(Alone):
    """The others of a group have two batches more in every step."""

    lockstep = True

    def everyones(self, answer: Answer) -> list[Answer]:
        return [answer, answer + 2] if isinstance(answer, int) else [answer]  # type: ignore[list-item]


def test_what_is_computed_to_keep_step_with_others_is_not_learned(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(methods, "spread", lambda model, *, device: None)
    alone, in_step = make_run("alone", max_steps=3), make_run("in-step", max_steps=3)
    alone.start()
    in_step.start(group=InStep())
    for step, numbers in alone.losses().items():
        # A base that is spread over processes is computed layer by layer: fp32, another order.
        assert in_step.losses()[step] == pytest.approx(numbers, rel=1e-4)


@pytest.mark.parametrize("kill_step", [1, 4, 5, 6, 11, 12])
def test_a_run_killed_at_any_step_ends_with_the_same_bits(
    make_run: MakeRun, kill_step: int
) -> None:
    undisturbed = make_run("undisturbed")
    undisturbed.start()

    killed = make_run("killed")
    with pytest.raises(Killed):
        killed.start(kill_at=lambda e: e.name == "step" and e.step == kill_step)
    killed.start()
    assert killed.losses() == undisturbed.losses()
    assert killed.adapter() == undisturbed.adapter()
    assert [e for e in killed.named("evaluated")][-1] == undisturbed.named("evaluated")[-1]
    assert {c.step: c for c in killed.named("checkpoint")} == {
        c.step: c for c in undisturbed.named("checkpoint")
    }


def test_a_run_killed_between_saving_and_saying_a_checkpoint_still_says_it(
    make_run: MakeRun,
) -> None:
    run = make_run()
    with pytest.raises(Killed):
        run.start(kill_at=lambda e: e.name == "checkpoint" and e.step == 5)
    run.events.clear()
    run.start()
    assert [type(e).__name__ for e in run.events[:3]] == ["Started", "Resumed", "Checkpointed"]
    assert run.named("resumed")[0].step == run.named("checkpoint")[0].step == 5
    assert run.named("step")[0].step == 6


def test_a_run_killed_again_and_again_ends_with_the_same_bits(make_run: MakeRun) -> None:
    undisturbed = make_run("undisturbed", max_steps=20, checkpoint_steps=3)
    undisturbed.start()
    killed = make_run("killed", max_steps=20, checkpoint_steps=3)
    for step in (2, 5, 7, 11, 19):
        with pytest.raises(Killed):
            killed.start(kill_at=lambda e, step=step: e.name == "step" and e.step == step)
    killed.start()
    assert killed.losses() == undisturbed.losses()
    assert killed.adapter() == undisturbed.adapter()


def test_pausing_saves_where_it_is_and_changes_nothing(make_run: MakeRun) -> None:
    undisturbed = make_run("undisturbed")
    undisturbed.start()

    paused = make_run("paused")

    def after_seven() -> Stop | None:
        return Stop.PAUSE if 7 in paused.losses() else None

    assert paused.start(should_stop=after_seven) == Stopped(Stop.PAUSE, 7)
    paused.start()
    assert paused.named("resumed")[0].step == 7
    assert paused.losses() == undisturbed.losses()
    assert paused.adapter() == undisturbed.adapter()
    assert paused.named("checkpoint") == undisturbed.named("checkpoint")


def test_cancelling_ends_at_once_without_a_checkpoint(make_run: MakeRun) -> None:
    run = make_run(checkpoint_steps=100)
    ended = run.start(should_stop=lambda: Stop.CANCEL if 3 in run.losses() else None)
    assert ended == Stopped(Stop.CANCEL, 3)
    assert not (run.run_dir / "checkpoints").exists()
    assert not (run.run_dir / "adapter").exists()


def test_a_run_cancelled_inside_a_step_does_not_count_that_step(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(machine.MICROBATCH_TOKENS, "cpu", 64)
    run = make_run(batch_size=8)
    asked = iter([None, None, None, Stop.CANCEL])
    assert run.start(should_stop=lambda: next(asked)) == Stopped(Stop.CANCEL, 0)
    assert not run.losses()


def test_a_loss_that_is_not_a_number_fails_the_run_and_names_the_step(make_run: MakeRun) -> None:
    run = make_run(max_steps=50)
    run.spec = run.spec.model_copy(update={"learning_rate": 1e20})
    with pytest.raises(TuningFailed) as raised:
        run.start()
    assert raised.value.error_code == "loss_not_finite"
    assert "step" in raised.value.message
    assert "lower learning_rate" in raised.value.message


def test_data_without_a_trainable_token_fails_the_run(make_run: MakeRun) -> None:
    run = make_run(sources=[Source("quiet.jsonl", 1.0, samples_of(5, trained=0.0))])
    with pytest.raises(TuningFailed) as raised:
        run.start()
    assert raised.value.error_code == "no_trainable_tokens"
    assert "quiet.jsonl" in raised.value.message


def test_a_sample_longer_than_a_sequence_fails_the_run(make_run: MakeRun) -> None:
    run = make_run(sources=[Source("long.jsonl", 1.0, samples_of(20, longest=200))])
    with pytest.raises(TuningFailed) as raised:
        run.start()
    assert raised.value.error_code == "sample_too_long"
    assert "64 tokens" in raised.value.message


def test_a_full_disk_fails_the_run_with_what_to_do_and_keeps_the_last_checkpoint(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run()
    write = resume.write_synced

    def full(path: Path, content: bytes) -> None:
        if "00000010" in str(path):
            raise OSError(28, "No space left on device")
        write(path, content)

    monkeypatch.setattr(resume, "write_synced", full)
    with pytest.raises(TuningFailed) as raised:
        run.start()
    assert raised.value.error_code == "storage_full"
    assert "free some space" in raised.value.message
    monkeypatch.undo()

    run.start()
    assert run.named("resumed")[0].step == 5
    undisturbed = make_run("undisturbed")
    undisturbed.start()
    assert run.adapter() == undisturbed.adapter()


def test_running_out_of_memory_fails_the_run_with_what_to_lower(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_much(*_: object) -> None:
        torch.empty(1 << 62, dtype=torch.uint8)

    monkeypatch.setattr("modiste.tune.loss.Scorer.loss", too_much)
    with pytest.raises(TuningFailed) as raised:
        make_run().start()
    assert raised.value.error_code == "out_of_memory"
    assert "lower max_length" in raised.value.message


def test_a_checkpoint_of_another_run_is_refused(make_run: MakeRun) -> None:
    run = make_run()
    run.start()
    run.spec = spec_of(learning_rate=0.5)
    with pytest.raises(TuningFailed) as raised:
        run.start()
    assert raised.value.error_code == "checkpoint_mismatch"

    run.spec = spec_of()
    run.sources = [Source("train.jsonl", 1.0, samples_of(30, seed=9))]
    with pytest.raises(TuningFailed):
        run.start()


def test_a_finished_run_started_again_only_writes_its_adapter(make_run: MakeRun) -> None:
    run = make_run()
    run.start()
    before = run.adapter()
    shutil.rmtree(run.run_dir / "adapter")
    run.events.clear()
    run.start()
    assert not run.named("step")
    assert run.adapter() == before


def test_the_adapter_is_plain_peft(make_run: MakeRun) -> None:
    run = make_run()
    done = run.start()
    assert isinstance(done, Done)
    loaded = load_peft(done.result_dir)
    assert len(loaded.layers) == 2 * 7
    assert loaded.base == "random"
    for name, (a, b) in done.tuned.learned.weights().items():
        assert torch.equal(loaded.layers[name].A_RI, a)
        assert torch.equal(loaded.layers[name].B_OR, b)
        assert loaded.layers[name].scaling == 2.0


def test_a_spec_with_gaps_is_planned_from_the_data(make_run: MakeRun) -> None:
    run = make_run(max_steps=None, batch_size=None, max_length=None, checkpoint_steps=None)
    run.spec = spec_of().model_copy(
        update=dict.fromkeys(("max_steps", "batch_size", "max_length", "checkpoint_steps"))
    )
    run.spec = run.spec.model_copy(update={"epochs": 0.5})
    done = run.start()
    assert isinstance(done, Done)
    data = int(run.sources[0].samples.lengths.sum())
    assert done.counters.n_tokens >= 0.5 * data


def test_validation_without_targets_is_refused(make_run: MakeRun) -> None:
    run = make_run(validation=samples_of(3, trained=0.0))
    with pytest.raises(TuningFailed) as raised:
        run.start()
    assert raised.value.error_code == "no_trainable_tokens"
    assert "validation" in raised.value.message


def test_two_files_are_mixed_by_weight(make_run: MakeRun) -> None:
    sources = [
        Source("often.jsonl", 3.0, samples_of(30, seed=1)),
        Source("seldom.jsonl", 1.0, samples_of(30, seed=2)),
    ]
    run = make_run(sources=sources, max_steps=20)
    run.start()
    assert len(run.losses()) == 20


def test_events_are_plain_json_values(make_run: MakeRun) -> None:
    run = make_run()
    run.start()

    def plain(event: Event) -> bool:
        return json.loads(json.dumps(event.as_dict())) == event.as_dict()

    assert all(plain(event) for event in run.events)
    assert Samples().lengths.sum() == 0


def test_the_base_is_evaluated_before_the_first_step_and_only_there(make_run: MakeRun) -> None:
    run = make_run()
    with pytest.raises(Killed):
        run.start(kill_at=lambda e: e.name == "step" and e.step == 6)
    first = run.named("evaluated")[0]
    tuned = load(run.spec, run.base, run.machine)
    bare = evaluate(NextToken(tuned.scorer, tuned.machine), run.validation)
    assert (first.step, first.valid_loss) == (0, bare.nll / bare.n)
    assert run.named("checkpoint")[0].valid_loss is not None
    run.events.clear()
    done = run.start()
    assert isinstance(done, Done)
    assert [e.step for e in run.named("evaluated")] == [10, 12]
    assert done.counters.base_valid_loss == first.valid_loss


def overfitting(make_run: MakeRun, name: str, **changes: object) -> Run:
    """A base that thinks all tokens equally likely; what it learns makes those above 100 less and
    less so, and validation has no others."""
    unseen = samples_of(6, seed=1, vocabulary=99)
    unseen.ids += 100
    run = make_run(
        name,
        sources=[Source("train.jsonl", 1.0, samples_of(6, vocabulary=99))],
        validation=unseen,
        max_steps=24,
        eval_steps=3,
        checkpoint_steps=4,
        learning_rate=0.1,
        **changes,
    )
    run.base = shutil.copytree(run.base, run.run_dir.parent / "calm", dirs_exist_ok=True)
    tensors = load_file(run.base / "model.safetensors")
    tensors["lm_head.weight"] *= 0.05
    save_file(tensors, run.base / "model.safetensors", metadata={"format": "pt"})
    return run


def test_the_best_weights_are_kept_where_that_is_asked(make_run: MakeRun) -> None:
    last, best = overfitting(make_run, "last"), overfitting(make_run, "best", keep="best")
    last.start()
    done = best.start()
    assert isinstance(done, Done)
    assert best.losses() == last.losses()
    measured = {e.step: e.valid_loss for e in best.named("evaluated") if e.step}
    step, loss = done.counters.best_step, done.counters.best_loss
    assert (step, loss) == min(measured.items(), key=lambda item: item[1])
    assert step is not None
    assert step < 24
    assert best.adapter() != last.adapter()
    again = evaluate(NextToken(done.tuned.scorer, done.tuned.machine), best.validation)
    assert again.nll / again.n == loss


def test_a_run_without_a_better_evaluation_ends_early_and_to_the_bit(make_run: MakeRun) -> None:
    whole = overfitting(make_run, "whole", early_stopping_patience=2)
    done = whole.start()
    assert isinstance(done, Done)
    ended = whole.named("stopped_early")[0]
    assert ended.step == done.counters.step == ended.best_step + 2 * 3 < 24
    assert whole.named("checkpoint")[-1].step == ended.step

    killed = overfitting(make_run, "killed", early_stopping_patience=2)
    for step in range(1, ended.step + 1):
        with pytest.raises(Killed):
            killed.start(kill_at=lambda e, at=step: e.name == "step" and e.step >= at)
    with pytest.raises(Killed):
        killed.start(kill_at=lambda e: e.name == "evaluated" and e.step == ended.step)
    killed.start()
    assert killed.adapter() == whole.adapter()
    assert killed.named("stopped_early")[-1] == ended
    # Ended early, it does not begin again.
    killed.events.clear()
    killed.start()
    assert not killed.named("step")
    assert killed.adapter() == whole.adapter()


def test_best_weights_without_validation_are_refused(make_run: MakeRun) -> None:
    with pytest.raises(TuningFailed, match=r"give data\.validation, or keep: last"):
        make_run(n_validation=0, keep="best").start()


def test_the_worst_rows_are_named_with_their_loss(make_run: MakeRun) -> None:
    def rows(samples: Samples, file: str) -> Samples:
        pairs = [samples[i][:2] for i in range(len(samples))]
        return Samples(pairs, origins=[(file, 10 + i) for i in range(len(pairs))])

    run = make_run(max_steps=3, validation=rows(samples_of(6, seed=1), "valid.jsonl"))
    run.sources = [Source("train.jsonl", 1.0, rows(samples_of(30), "train.jsonl"))]
    done = run.start()
    assert isinstance(done, Done)
    valid, train = done.worst
    assert (valid.part, train.part, valid.n_rows, train.n_rows) == ("validation", "training", 6, 30)
    assert [row.loss for row in train.rows] == sorted((r.loss for r in train.rows), reverse=True)
    for row in valid.rows:
        sample = run.validation[row.origin.line - 10]
        logprobs = done.tuned.logprobs(sample.ids.tolist())
        trained = [-lp for lp, m in zip(logprobs, sample.mask[1:], strict=True) if m]
        # fp32 log-likelihoods, computed alone and among others.
        assert row.loss == pytest.approx(sum(trained) / len(trained), rel=1e-5)
        assert row.n_units == len(trained)


def test_rows_that_give_no_number_are_named(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(sources=[Source("train.jsonl", 1.0, broken := samples_of(8, vocabulary=150))])
    broken.origins = [Origin("train.jsonl", i + 1) for i in range(8)]
    broken.ids[broken.starts[3] : broken.starts[4]] = 177
    whole = load

    def load_poisoned(*args: object, **options: object) -> object:
        tuned = whole(*args, **options)  # type: ignore[arg-type]
        with torch.no_grad():
            tuned.scorer.model.get_input_embeddings().weight[177] = float("nan")
        return tuned

    monkeypatch.setattr("modiste.tune.outset.load", load_poisoned)
    with pytest.raises(TuningFailed, match=r"1 row alone gives no number: train.jsonl line 4;"):
        run.start()
