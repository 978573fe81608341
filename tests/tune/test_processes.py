"""Two and three real processes over gloo: what they exchange, what they train, how they fail."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from . import together
from .conftest import Run

EXCHANGE = """
import hashlib, json, torch
import torch.distributed as dist
from modiste.tune.processes import end, joined
torch.set_num_threads(1)
group = joined()
tensor = torch.arange(5.0) * (group.rank + 1)
group.sum_(tensor)
torch.manual_seed(group.rank)
awkward = torch.randn(70_001) * 10.0 ** torch.randint(-6, 6, (70_001,))
group.sum_(awkward)
print(json.dumps({
    "rank": group.rank, "speaks": group.speaks,
    "sum": tensor.tolist(),
    "bits": hashlib.sha256(awkward.numpy().tobytes()).hexdigest(),
    "total": group.total(0.1 + group.rank, 1e300, -0.0),
    "agreed": [group.agree(x) for x in (None, f"from {group.rank}", [1, 2.5], {"é": group.rank})],
    "everyones": group.everyones({"rank": group.rank}),
    "share": group.share("abcdef", [9, 1, 1, 1, 1, 5]),
}), flush=True)
# Gloo's threads are left at work. Whoever takes Python down now is aborted by one of them: measured
# 12 of 20 pairs.
for _ in range(200):
    dist.all_reduce(torch.ones(1000), async_op=True)
end(7)
"""

TRAIN = """
import json, sys, torch
from pathlib import Path
from modiste.errors import ModisteError
from modiste.tune.mixture import Source
from modiste.tune.processes import end, joined
from modiste.tune.sft import Done, Stop, finetune
from tests.tune.conftest import ONE_THREAD, samples_of, spec_of

base, run_dir, wish = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
torch.set_num_threads(1)
group = joined()
rate = {"learning_rate": wish.pop("rate")} if "rate" in wish else {}
last_step = wish.pop("pause_behind", None)
die_at, die_rank = wish.pop("die_at", None), wish.pop("die_rank", None)
told = []

def on_event(event):
    if group.speaks:
        print(json.dumps(event.as_dict()), flush=True)
    told.append(getattr(event, "step", 0))
    if event.name == "step" and event.step == die_at and group.rank == die_rank:
        import os, signal
        os.kill(os.getpid(), signal.SIGKILL)

def should_stop():
    # Only the first process's wish counts.
    return Stop.PAUSE if group.speaks and last_step and max(told, default=0) >= last_step else None

try:
    ended = finetune(
        spec_of(**wish).model_copy(update=rate), base,
        sources=[Source("train.jsonl", 1.0, samples_of(30))],
        validation=samples_of(6, seed=1), run_dir=run_dir, machine=ONE_THREAD,
        on_event=on_event, should_stop=should_stop, group=group,
    )
    print(json.dumps({"event": type(ended).__name__}))
except ModisteError as error:
    print(json.dumps({"event": "error", "code": error.error_code, "message": error.message}))
end()
"""


class Trained(NamedTuple):
    by_rank: list[list[dict[str, Any]]]
    codes: list[int]

    def losses(self) -> dict[int, tuple[float, float]]:
        said = self.by_rank[0]
        return {e["step"]: (e["loss"], e["grad_norm"]) for e in said if e["event"] == "step"}

    def last(self, rank: int) -> dict[str, Any]:
        return self.by_rank[rank][-1]


Train = Callable[..., Trained]


@pytest.fixture
def train(base: Path, tmp_path: Path) -> Train:
    """`train("name", 2, **changes)` runs two processes in the run folder of that name."""

    def make(name: str, size: int = 2, **wish: Any) -> Trained:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        ended = together.run(TRAIN, size, base, folder, json.dumps(wish))
        said = [
            [json.loads(line) for line in one.said.splitlines() if line.startswith("{")]
            for one in ended
        ]
        assert all(said) or -signal.SIGKILL in (one.code for one in ended), ended
        return Trained(said, [one.code for one in ended])

    return make


def adapter(folder: Path) -> bytes:
    return (folder / "adapter" / "adapter_model.safetensors").read_bytes()


def test_three_processes_add_up_agree_share_and_end_as_they_mean_to() -> None:
    ended = together.run(EXCHANGE, 3)
    assert [one.code for one in ended] == [7, 7, 7], ended
    said = [json.loads(one.said.splitlines()[-1]) for one in ended]
    assert [one["speaks"] for one in said] == [True, False, False]
    assert all(one["sum"] == [0, 6, 12, 18, 24] for one in said)
    assert len({one["bits"] for one in said}) == 1, "every process holds the same bits"
    assert all(one["total"] == [0.1 + 1.1 + 2.1, 3e300, 0.0] for one in said)
    assert all(one["agreed"] == [None, "from 0", [1, 2.5], {"é": 0}] for one in said)
    assert all(one["everyones"] == [{"rank": 0}, {"rank": 1}, {"rank": 2}] for one in said)
    assert [one["share"] for one in said] == [["a"], ["f"], list("bcde")]

    again = together.run(EXCHANGE, 3)
    assert json.loads(again[0].said.splitlines()[-1])["bits"] == said[0]["bits"]


def test_two_processes_train_what_one_trains(train: Train, make_run: Callable[..., Run]) -> None:
    alone = make_run("alone")
    alone.start()
    two = train("two")
    assert [two.last(0)["event"], two.last(1)["event"]] == ["Done", "Done"]
    for step, (loss, norm) in alone.losses().items():
        # The same fp32 gradients added up in another order, for twelve steps at a high rate.
        assert two.losses()[step] == pytest.approx((loss, norm), rel=1e-3)
    first = alone.losses()[1]
    assert two.losses()[1] == pytest.approx(first, rel=1e-5), "before any update: rounding only"
    (alone_said,) = alone.named("evaluated")[-1:]
    (two_said,) = [e for e in two.by_rank[0] if e["event"] == "evaluated"][-1:]
    assert two_said["n_trained_tokens"] == alone_said.n_trained_tokens
    assert two_said["valid_loss"] == pytest.approx(alone_said.valid_loss, rel=1e-3)


@pytest.mark.slow
def test_only_the_first_process_writes(train: Train, tmp_path: Path) -> None:
    two = train("two", max_steps=5)
    assert {e["event"] for e in two.by_rank[1]} == {"Done"}
    assert sorted(path.name for path in (tmp_path / "two/checkpoints").iterdir()) == [
        "step-00000005"
    ]


@pytest.mark.slow
def test_the_same_number_of_processes_ends_with_the_same_bits_killed_or_not(
    train: Train, tmp_path: Path
) -> None:
    undisturbed = train("undisturbed")
    killed = train("killed", die_at=7, die_rank=1)
    assert killed.codes[1] == -signal.SIGKILL
    assert killed.last(0)["code"] == "process_lost"
    resumed = train("killed")
    assert {"event": "resumed", "step": 5} in resumed.by_rank[0]
    assert killed.losses() | resumed.losses() == undisturbed.losses()
    assert adapter(tmp_path / "killed") == adapter(tmp_path / "undisturbed")


@pytest.mark.slow
def test_a_process_that_dies_ends_the_other_within_seconds(base: Path, tmp_path: Path) -> None:
    wish = json.dumps({"max_steps": 10_000, "checkpoint_steps": 10_000})
    first, second = together.start(TRAIN, 2, base, tmp_path, wish)
    try:
        assert first.stdout is not None
        while '"step": 3,' not in first.stdout.readline():
            assert first.poll() is None
        second.kill()
        began = time.monotonic()
        rest = first.communicate(timeout=60)[0]
        assert time.monotonic() - began < 20  # measured: at once
        assert "lost another process of this training" in rest
    finally:
        for process in (first, second):
            process.kill()
            process.communicate()


@pytest.mark.slow
def test_a_pause_wished_by_the_first_process_stops_both_behind_one_checkpoint(
    train: Train, tmp_path: Path
) -> None:
    undisturbed = train("undisturbed")
    paused = train("paused", pause_behind=7)
    assert [paused.last(0)["event"], paused.last(1)["event"]] == ["Stopped", "Stopped"]
    assert max(paused.losses()) == 7
    resumed = train("paused")
    assert paused.losses() | resumed.losses() == undisturbed.losses()
    assert adapter(tmp_path / "paused") == adapter(tmp_path / "undisturbed")


@pytest.mark.slow
def test_a_loss_that_is_not_a_number_fails_every_process_at_the_same_step(train: Train) -> None:
    two = train("two", rate=1e20, max_steps=50)
    ended = [two.last(0), two.last(1)]
    assert [one.get("code") for one in ended] == ["loss_not_finite"] * 2, ended
    # Each looks for the rows that did it among its own; the first one's words are the job's.
    assert {one["message"].partition(";")[0] for one in ended} == {
        "step 2: the loss is nan and the gradient's norm nan at learning rate 1e+20"
    }


@pytest.mark.slow
def test_processes_with_other_data_are_refused(base: Path, tmp_path: Path) -> None:
    code = TRAIN.replace("samples_of(30)", "samples_of(30 + group.rank)")
    ended = together.run(code, 2, base, tmp_path, "{}")
    assert "processes_differ" in ended[1].said
    assert "process_lost" in ended[0].said


@pytest.mark.slow
def test_more_processes_than_samples_train_too(train: Train) -> None:
    three = train("three", 3, batch_size=1, max_length=40, max_steps=2)
    assert len(three.losses()) == 2
    assert [three.last(rank)["event"] for rank in range(3)] == ["Done"] * 3


@pytest.mark.slow
def test_two_processes_train_all_weights_of_a_model_as_one_does(
    train: Train, make_run: Callable[..., Run]
) -> None:
    alone = make_run("alone", method="full", learning_rate=1e-3)
    alone.start()
    two = train("two", method="full", learning_rate=1e-3)
    for step, (loss, norm) in alone.losses().items():
        # The same fp32 gradients added up in another order.
        assert two.losses()[step] == pytest.approx((loss, norm), rel=1e-3)
