"""Two real trainers under torchrun: what one would train, and what happens when one dies."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from modiste.work.member import EXIT_LOST

from . import several

LAUNCHER = "modiste.work.torchrun"


@pytest.mark.slow
def test_two_trainers_train_what_one_trains(tmp_path: Path) -> None:
    two = several.make(tmp_path / "two")
    assert two.to_end(two.launch(LAUNCHER)) == 0, two.log()
    names = [event["event"] for event in two.events()]
    assert names[0] == "started"
    assert names[-1] == "finished"
    assert names.count("step") == 14
    assert names.count("finished") == 1, "only one of them speaks"
    assert not list(two.folder.glob("gave-up*"))

    alone = several.make(tmp_path / "alone")
    assert alone.run_here() == 0
    for step, (loss, norm, n_tokens) in alone.curve().items():
        # The same fp32 gradients added up in another order, for fourteen steps.
        assert two.curve()[step] == (
            pytest.approx(loss, rel=1e-4),
            pytest.approx(norm, rel=1e-3),
            n_tokens,
        )
    certificate = json.loads((two.folder / "parity.json").read_text())["rows"]
    assert len(certificate) == 8


@pytest.mark.slow
def test_a_killed_trainer_ends_the_other_and_the_run_goes_on_with_the_same_bits(
    tmp_path: Path,
) -> None:
    undisturbed = several.make(tmp_path / "undisturbed", max_steps=26)
    assert undisturbed.to_end(undisturbed.launch(LAUNCHER)) == 0, undisturbed.log()

    job = several.make(tmp_path / "killed", max_steps=26)
    for victim, step in ((0, 5), (1, 13)):
        launcher = job.launch(LAUNCHER)
        job.until(launcher, step)
        trainers = several.below(launcher)
        assert sorted(map(several.rank_of, trainers)) == [0, 1]
        killed_at = several.kill(next(p for p in trainers if several.rank_of(p) == victim))
        assert job.to_end(launcher) == EXIT_LOST
        assert time.monotonic() - killed_at < 15  # measured 0.4 s on an idle machine
        assert several.gone(trainers)
        assert f"process {victim} of 2 of this training ended with SIGKILL" in job.log()

    assert job.to_end(job.launch(LAUNCHER)) == 0
    events = job.events()
    resumed = [at for at, event in enumerate(events) if event["event"] == "resumed"]
    assert len(resumed) == 2
    for at in resumed:
        said_before = max(e["step"] for e in events[:at] if e["event"] == "step")
        assert 0 <= said_before - events[at]["step"] <= 8
    assert job.said_twice_alike()
    assert job.curve() == undisturbed.curve()
    assert job.adapter() == undisturbed.adapter()


@pytest.mark.slow
def test_no_trainer_outlives_a_killed_launcher(tmp_path: Path) -> None:
    job = several.make(tmp_path, max_steps=10_000)
    launcher = job.launch(LAUNCHER)
    job.until(launcher, 2)
    trainers = several.below(launcher)
    assert len(trainers) == 2
    launcher.kill()
    launcher.wait()
    assert several.gone(trainers)


@pytest.mark.slow
@pytest.mark.parametrize("wish", ["pause", "cancel"])
def test_they_stop_together(tmp_path: Path, wish: str) -> None:
    job = several.make(tmp_path, max_steps=10_000, checkpoint_steps=10_000)
    launcher = job.launch(LAUNCHER)
    job.until(launcher, 2)
    (job.folder / wish).touch()
    assert job.to_end(launcher) == 0
    ended = job.events()[-1]
    assert ended["event"] == {"pause": "paused", "cancel": "cancelled"}[wish]
    saved = [path.name for path in (job.folder / "checkpoints").glob("*")]
    assert saved == ([f"step-{ended['step']:08d}"] if wish == "pause" else [])


def test_what_fails_in_all_of_them_is_said_once(tmp_path: Path) -> None:
    row: dict[str, Any] = {"messages": [{"role": "user", "content": "a?"}]}
    row["messages"].append({"role": "assistant", "content": "b " * 200})
    job = several.make(tmp_path, train=[row])
    assert job.to_end(job.launch(LAUNCHER)) == 1
    (failed,) = job.named("failed")
    assert failed["code"] == "sample_too_long"
    assert "train.jsonl line 1" in failed["message"]


@pytest.mark.slow
def test_a_base_spread_over_two_trainers_trains_to_the_same_losses_and_certificate(
    tmp_path: Path,
) -> None:
    whole, spread = (several.make(tmp_path / wish, shard_base=wish) for wish in ("never", "always"))
    for job in (whole, spread):
        assert job.to_end(job.launch(LAUNCHER)) == 0, job.log()
        assert job.events()[-1]["event"] == "finished"
    for step, (loss, norm, n_tokens) in whole.curve().items():
        # Plain products instead of packed and fused ones: fp32 rounding over fourteen steps.
        assert spread.curve()[step] == (
            pytest.approx(loss, rel=1e-4),
            pytest.approx(norm, rel=1e-3),
            n_tokens,
        )
    rows = [json.loads((job.folder / "parity.json").read_text())["rows"] for job in (whole, spread)]
    for one, other in zip(*rows, strict=True):
        assert one["ids"] == other["ids"]
        assert other["logprobs"] == pytest.approx(one["logprobs"], abs=1e-3)


@pytest.mark.slow
def test_what_cannot_be_spread_is_refused_with_what_to_set(tmp_path: Path) -> None:
    job = several.make(tmp_path, shard_base="always", method="full")
    assert job.to_end(job.launch(LAUNCHER)) == 1
    (failed,) = job.named("failed")
    assert "a base that learns with full cannot be spread" in failed["message"]
    assert "MODISTE_SHARD_BASE=never" in failed["message"]
