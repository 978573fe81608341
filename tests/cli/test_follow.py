"""Watching a job: nothing is missed, nothing is shown twice."""

from typing import Any

import pytest

from modiste.cli import follow
from modiste.client import Steps


class Scripted:
    """A server that goes one state further with each look."""

    def __init__(self, *states: dict[str, Any]) -> None:
        self.states = list(states)
        self.asked_after: list[int] = []

    def get(self, path: str, **options: Any) -> dict[str, Any]:
        self.state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        return self.state["job"]

    def steps(self, job_id: str, *, after_step: int = 0) -> Steps:
        self.asked_after.append(after_step)
        rows = [row for row in self.state.get("steps", []) if row["step"] > after_step]
        return Steps(rows, self.state.get("progress", {}))


def state(status: str, *events: str, steps: int = 0, **more: Any) -> dict[str, Any]:
    job = {
        "id": "j", "status": status, "auto_start": True, "checkpoints": [], **more,
        "events": [{"data": {"status": e, "message": f"{e} said"}} for e in events],
    }  # fmt: skip
    rows = [{"step": n, "loss": 5.0 - n, "tokens_per_s": 10.0} for n in range(1, steps + 1)]
    progress = {"step": steps, "total_steps": 4, "eta_s": 3.0} if steps else {}
    return {"job": job, "steps": rows, "progress": progress}


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "POLL_S", 0.0)
    monkeypatch.setattr(follow, "PLAIN_INTERVAL_S", 0.0)


def test_every_event_and_step_is_shown_once(capsys: pytest.CaptureFixture[str]) -> None:
    server = Scripted(
        state("QUEUED", "QUEUED"),
        state("RUNNING", "QUEUED", "RUNNING", steps=2),
        state("SUCCESS", "QUEUED", "RUNNING", "SUCCESS", steps=4),
    )
    job, steps = follow.follow(server, "j")  # type: ignore[arg-type]
    assert job["status"] == "SUCCESS"
    assert [row["step"] for row in steps] == [1, 2, 3, 4]
    assert server.asked_after == [-1, -1, 2, -1]
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in lines] == [
        "QUEUED", "RUNNING", "step", "step", "SUCCESS", "step", "step",
    ]  # fmt: skip
    assert lines[3] == "step 2/4  loss 3.000 (ppl 20.1)  10 tokens/s  ETA 3 s"


def test_a_checkpoint_is_shown_once_with_its_validation(capsys: pytest.CaptureFixture[str]) -> None:
    metrics = {"valid_loss": 0.5, "valid_mean_token_accuracy": 0.875}
    checkpoints = [{"step_number": 2, "metrics": metrics}]
    server = Scripted(
        state("RUNNING", steps=2, checkpoints=checkpoints),
        state("SUCCESS", steps=2, checkpoints=checkpoints),
    )
    follow.follow(server, "j")  # type: ignore[arg-type]
    line = "checkpoint at step 2  validation loss 0.500, accuracy 87.5%"
    assert capsys.readouterr().err.splitlines().count(line) == 1


def test_a_paused_job_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    server = Scripted(
        state("RUNNING", paused=True), state("RUNNING", paused=True), state("SUCCESS")
    )
    follow.follow(server, "j")  # type: ignore[arg-type]
    assert capsys.readouterr().err.count("modiste jobs resume j") == 1


def test_a_job_that_waits_for_its_start_is_not_watched_for_ever() -> None:
    server = Scripted(state("VALIDATED", "VALIDATED", auto_start=False))
    job = follow.follow(server, "j", quiet=True).job  # type: ignore[arg-type]
    assert follow.needs_start(job)
    assert follow.failure(job) is None


def test_a_quiet_watch_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    follow.follow(Scripted(state("SUCCESS", "SUCCESS", steps=1)), "j", quiet=True)  # type: ignore[arg-type]
    assert capsys.readouterr().err == ""


def test_a_failed_job_says_its_reason() -> None:
    failed = state("FAILED", error={"code": "no_trainable_tokens", "message": "nothing to learn"})
    error = follow.failure(failed["job"])
    assert error is not None
    assert (error.error_code, error.message) == ("no_trainable_tokens", "nothing to learn")


def test_what_is_not_known_is_left_out_of_the_line() -> None:
    assert follow.step_line({"step": 3, "loss": None, "tokens_per_s": None}, {}) == "step 3"


def test_the_live_line_survives_markup_and_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    display = follow.LiveLine()
    display.event("RUNNING", "[red]not markup[/red] \x1b[2J")
    display.step({"step": 1, "loss": 1.0}, {"step": 1, "total_steps": 2, "eta_s": 1.0})
    display.close()


def test_pairs_are_told_by_how_often_they_are_right_and_not_by_a_perplexity() -> None:
    measured = {"preference_accuracy": 0.75, "reward_margin": 0.4213, "reward_chosen": 0.1}
    line = follow.step_line({"step": 1, "loss": 0.6, "measures": measured}, {"total_steps": 4})
    assert line == "step 1/4  loss 0.600  right 75%  margin 0.42"
    base = follow.step_line({"step": 0, "valid_loss": 0.7, "valid_measures": measured}, {})
    assert base == "step 0  validation loss 0.700 (base)  right 75%  margin 0.42"
