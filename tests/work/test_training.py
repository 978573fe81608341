"""The trainer as a real process: killed, paused, cancelled, started twice, out of disk."""

from __future__ import annotations

import fcntl
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from modiste.errors import TuningFailed
from modiste.tune.events import Paused
from modiste.work import child, training
from modiste.work.training import EventLog

TINY = Path(__file__).parents[2] / "src/modiste/bases/tiny"
WORDS = ["order", "parcel", "invoice", "refund", "login", "late", "broken", "please", "help"]
STEPS = 14


def rows(n: int, *, seed: int, weight: int | None = None) -> list[dict[str, Any]]:
    chosen = random.Random(seed)
    made = []
    for _ in range(n):
        question = " ".join(chosen.choices(WORDS, k=chosen.randint(3, 20)))
        answer: dict[str, Any] = {"role": "assistant", "content": chosen.choice(WORDS)}
        if weight is not None:
            answer["weight"] = weight
        made.append({"messages": [{"role": "user", "content": question}, answer]})
    return made


class NoSignals:
    received = False


@dataclass
class Job:
    folder: Path

    def start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "modiste.work.training", str(self.folder)],
            stdout=subprocess.DEVNULL,
            stderr=(self.folder / "log").open("ab"),
        )

    def run(self) -> int:
        return self.start().wait(timeout=500)

    def run_here(self) -> int:
        """In this process, which has torch already: for runs that end by themselves."""
        with EventLog(self.folder / "events.jsonl") as events:
            return training._run(self.folder, events, NoSignals(), time.monotonic())

    def until(self, process: subprocess.Popen[bytes], step: int) -> None:
        deadline = time.monotonic() + 500
        while not any(e["event"] == "step" and e["step"] >= step for e in self.events()):
            assert process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline, "the trainer did not get there within 500 s"
            time.sleep(0.002)

    def events(self) -> list[dict[str, Any]]:
        path = self.folder / "events.jsonl"
        if not path.exists():
            return []
        lines = path.read_bytes().split(b"\n")[:-1]
        return [json.loads(line) for line in lines]

    def named(self, name: str) -> list[dict[str, Any]]:
        return [event for event in self.events() if event["event"] == name]

    def curve(self) -> dict[int, tuple[float, ...]]:
        """The last word on each step, as who records by step would have it."""
        return {e["step"]: (e["loss"], e["grad_norm"], e["n_tokens"]) for e in self.named("step")}

    def said_twice_alike(self) -> bool:
        steps = [(e["step"], e["loss"], e["grad_norm"]) for e in self.named("step")]
        return len(set(steps)) == len({step for step, *_ in steps})

    def result(self) -> tuple[bytes, bytes, bytes]:
        adapter = self.folder / "adapter"
        return (
            (adapter / "adapter_model.safetensors").read_bytes(),
            (adapter / "adapter_config.json").read_bytes(),
            (self.folder / "parity.json").read_bytes(),
        )


@pytest.fixture(scope="module")
def make_job(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Job]:
    def make(*, train: list[Any] | None = None, folder: Path | None = None, **spec: Any) -> Job:
        folder = folder or tmp_path_factory.mktemp("run")
        files = {"train": train or rows(40, seed=1), "validation": rows(5, seed=2)}
        for name, content in files.items():
            lines = [r if isinstance(r, str) else json.dumps(r) for r in content]
            (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
        wanted = {
            "model": "modiste-tiny",
            "data": {"train": [{"path": "train.jsonl"}]},
            "lora": {"rank": 4},
            "max_steps": STEPS,
            "batch_size": 2,
            "max_length": 64,
            "learning_rate": 1e-3,
            "checkpoint_steps": 4,
        } | spec
        entries = {
            name: [{"path": str(folder / f"{name}.jsonl"), "filename": f"{name}.jsonl"}]
            for name in files
        }
        job = {
            "job_id": "00000000-0000-4000-8000-000000000000",
            "base_path": str(TINY),
            "spec": wanted,
            "skip_lines": {},
            "threads": None,
            **entries,
        }
        (folder / "job.json").write_text(json.dumps(job))
        return Job(folder)

    return make


@pytest.fixture(scope="module")
def undisturbed(make_job: Callable[..., Job]) -> Job:
    job = make_job()
    assert job.run() == 0, (job.folder / "log").read_text()
    return job


def test_a_run_says_everything_in_order(undisturbed: Job) -> None:
    names = [event["event"] for event in undisturbed.events()]
    assert names[0] == "started"
    assert names[-1] == "finished"
    assert names.count("step") == STEPS
    assert [e["step"] for e in undisturbed.named("checkpoint")] == [4, 8, 12, 14]
    assert all(e["at"].endswith("+00:00") for e in undisturbed.events())
    finished = undisturbed.events()[-1]
    assert finished["trained_tokens"] == undisturbed.named("step")[-1]["n_tokens"]
    assert Path(finished["adapter_dir"]) == undisturbed.folder / "adapter"
    last = undisturbed.named("checkpoint")[-1]
    assert last["valid_loss"] == undisturbed.named("evaluated")[-1]["valid_loss"]
    assert 0 <= last["valid_token_accuracy"] <= 1


def test_it_leaves_rows_that_prove_parity(undisturbed: Job) -> None:
    found = json.loads((undisturbed.folder / "parity.json").read_text())["rows"]
    assert len(found) == 8, "five of validation, then of training"
    validation = rows(5, seed=2)
    assert [r["messages"][0]["content"] for r in found[:5]] == [
        r["messages"][0]["content"] for r in validation
    ]
    for row in found:
        assert len(row["ids"]) == len(row["mask"]) <= 128
        assert len(row["logprobs"]) == len(row["base_logprobs"]) == len(row["ids"]) - 1
        assert all(value <= 0 for value in row["logprobs"])
        assert row["logprobs"] != row["base_logprobs"]
        assert any(row["mask"])


@pytest.mark.slow
def test_killed_with_9_it_ends_with_the_same_bits(
    make_job: Callable[..., Job], undisturbed: Job
) -> None:
    job = make_job()
    trainer = job.start()
    job.until(trainer, 6)
    trainer.kill()
    assert trainer.wait() == -signal.SIGKILL
    assert job.run() == 0
    assert job.named("resumed")[0]["step"] in (4, 8)
    assert job.said_twice_alike()
    assert job.curve() == undisturbed.curve()
    assert _without_time(job.named("evaluated")[-1:]) == _without_time(
        undisturbed.named("evaluated")[-1:]
    )
    assert job.result() == undisturbed.result()


@pytest.mark.slow
def test_killed_at_any_moment_again_and_again_it_ends_with_the_same_bits(
    make_job: Callable[..., Job], undisturbed: Job
) -> None:
    """Moments by the clock, so that start, step, checkpoint and end are all hit in the long run."""
    job, moment = make_job(), random.Random(0)
    for _ in range(6):
        trainer = job.start()
        with suppress(subprocess.TimeoutExpired):
            trainer.wait(timeout=moment.uniform(1, 8))
        trainer.kill()
        trainer.wait()
    assert job.run() == 0
    assert job.said_twice_alike()
    assert job.curve() == undisturbed.curve()
    assert job.result() == undisturbed.result()


@pytest.mark.slow
def test_paused_and_continued_it_ends_with_the_same_bits(
    make_job: Callable[..., Job], undisturbed: Job
) -> None:
    job = make_job()
    trainer = job.start()
    job.until(trainer, 5)
    (job.folder / "pause").touch()
    assert trainer.wait(timeout=120) == 0
    paused = job.events()[-1]
    assert paused["event"] == "paused"
    (job.folder / "pause").unlink()
    assert job.run() == 0
    assert job.named("resumed")[0]["step"] == paused["step"]
    assert job.curve() == undisturbed.curve()
    assert job.result() == undisturbed.result()


def test_cancelled_it_stops_at_once_and_says_so(make_job: Callable[..., Job]) -> None:
    job = make_job(max_steps=100_000)
    trainer = job.start()
    job.until(trainer, 1)
    (job.folder / "cancel").touch()
    assert trainer.wait(timeout=60) == 0
    last = job.events()[-1]
    assert (last["event"], last["reason"]) == ("cancelled", "request")
    assert not (job.folder / "adapter").exists()


@pytest.mark.slow
def test_terminated_it_says_so_but_interrupts_are_its_parents_business(
    make_job: Callable[..., Job],
) -> None:
    job = make_job(max_steps=100_000)
    trainer = job.start()
    job.until(trainer, 1)
    trainer.send_signal(signal.SIGINT)
    job.until(trainer, len(job.named("step")) + 3)
    trainer.terminate()
    assert trainer.wait(timeout=60) == 0
    last = job.events()[-1]
    assert (last["event"], last["reason"]) == ("cancelled", "signal")


def test_two_trainers_never_run_one_job(tmp_path: Path) -> None:
    with child.locked(tmp_path / "lock") as first:
        assert first
        began = time.monotonic()
        with child.locked(tmp_path / "lock", timeout_s=0.5) as second:
            assert not second
        assert time.monotonic() - began >= 0.5
    with child.locked(tmp_path / "lock", timeout_s=0.5) as third:
        assert third


def test_a_trainer_that_finds_the_job_held_leaves_without_a_word(
    make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job()
    monkeypatch.setattr(child.locked.__wrapped__, "__kwdefaults__", {"timeout_s": 0.3})
    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    try:
        with (job.folder / "lock").open("ab") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            assert training.main([str(job.folder)]) == 75
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), handlers, strict=True):
            signal.signal(number, handler)
    assert job.events() == []


@pytest.mark.parametrize(
    ("changes", "code", "says"),
    [
        (
            {"train": rows(5, seed=1, weight=0)},
            "no_trainable_tokens",
            "give at least one assistant message a weight other than 0",
        ),
        ({"max_length": 16}, "sample_too_long", "train.jsonl line"),
        ({"train": [*rows(2, seed=1), "{broken"]}, "invalid_data", "train.jsonl line 3"),
        ({"learning_rate": 1.0, "max_grad_norm": 1e30, "lora": {"rank": 4, "alpha": 1e30}},
         "loss_not_finite", "lower learning_rate"),
        ({"lora": {"rank": 4, "targets": ["wq"]}}, "invalid_input", "wq names no linear layer"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_ends_with_a_code_and_what_to_do(
    make_job: Callable[..., Job], changes: dict[str, Any], code: str, says: str
) -> None:
    job = make_job(**changes)
    assert job.run_here() == 1
    last = job.events()[-1]
    assert (last["event"], last["code"]) == ("failed", code)
    assert says in last["message"]


def test_lines_to_skip_are_skipped(make_job: Callable[..., Job]) -> None:
    job = make_job(train=[*rows(3, seed=1), "{broken", *rows(2, seed=3)], max_steps=1)
    content = json.loads((job.folder / "job.json").read_text())
    content["skip_lines"] = {content["train"][0]["path"]: [4]}
    (job.folder / "job.json").write_text(json.dumps(content))
    assert job.run_here() == 0
    assert job.named("started")[0]["n_samples"] == 5


@pytest.mark.parametrize(
    ("content", "says"),
    [("{", "cannot be read"), ('{"spec": {}}', "lacks base_path, train"), (None, "cannot be read")],
)
def test_a_job_that_cannot_be_read_fails_and_says_so(
    tmp_path: Path, content: str | None, says: str
) -> None:
    if content is not None:
        (tmp_path / "job.json").write_text(content)
    job = Job(tmp_path)
    assert job.run_here() == 1
    assert job.events()[-1]["code"] == "job_unreadable"
    assert says in job.events()[-1]["message"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of half a megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if not mounted or mounted.returncode:
        pytest.skip("mounting a small file system needs root; tests/tune holds it with a stand-in")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_ends_the_run_with_what_to_do(
    make_job: Callable[..., Job], small_disk: Path
) -> None:
    """Rank 64 needs a megabyte and more for one checkpoint; events still fit."""
    job = make_job(folder=small_disk, lora={"rank": 64})
    assert job.run_here() == 1
    last = job.events()[-1]
    assert (last["event"], last["code"]) == ("failed", "storage_full")
    assert "free some space" in last["message"]
    assert str(job.folder) in last["message"]


def test_a_torn_last_line_is_cut_off_before_more_is_said(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"event":"step","step":1}\n{"event":"st')
    with EventLog(path) as say:
        say(Paused(3))
    first, second = path.read_text().splitlines()
    assert json.loads(first) == {"event": "step", "step": 1}
    assert json.loads(second)["event"] == "paused"


@pytest.mark.parametrize("content", [b"", b"x", b"\n", b"y" * 70_000 + b"\n" + b"z" * 70_000])
def test_any_end_of_the_event_file_is_mended(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(content)
    with EventLog(path):
        pass
    assert path.read_bytes() == content[: content.rfind(b"\n") + 1]


def test_an_event_that_does_not_fit_on_the_disk_leaves_no_part_of_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "events.jsonl"
    with EventLog(path) as say:
        say(Paused(1))
        before = path.read_bytes()
        stream = say._stream
        assert stream is not None

        class Full:
            """Takes a few bytes, as a disk with a few bytes left does."""

            def write(self, content: bytes) -> int:
                return stream.write(content[:5])

            def __getattr__(self, name: str) -> Any:
                return getattr(stream, name)

        monkeypatch.setattr(say, "_stream", Full())
        with pytest.raises(TuningFailed) as raised:
            say(Paused(2))
    assert raised.value.error_code == "storage_full"
    assert path.read_bytes() == before


def test_usage_is_said_when_the_folder_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert training.main([]) == 2
    assert "RUN_DIR" in capsys.readouterr().err
    assert training.main(["/no/such/folder"]) == 2
    assert "/no/such/folder: no such folder" in capsys.readouterr().err


def _without_time(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in event.items() if k != "at"} for event in events]
