"""Watch a job until it ends: one live line on a terminal, plain lines elsewhere, the same facts.

Following changes nothing: whoever leaves, by Ctrl-C or a broken line, leaves the job running. A
server that restarts in between is waited for.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

from modiste.cli.output import duration, printable, say
from modiste.cli.plot import log_curve, smoothed
from modiste.client import Client
from modiste.errors import ModisteError

FINAL = frozenset({"SUCCESS", "FAILED", "FAILED_VALIDATION", "CANCELLED"})
POLL_S = 0.5
PATIENCE_S = 120.0
"""A front that is restarted by its supervisor comes back well within this."""
PLAIN_INTERVAL_S = 5.0
MIN_CURVE_STEPS = 5

Json = dict[str, Any]


class Followed(NamedTuple):
    job: Json
    """As it ended."""
    steps: list[Json]
    """Every recorded step, in order."""


class Display(Protocol):
    def event(self, status: str, message: str) -> None: ...
    def step(self, row: Json, progress: Json) -> None: ...
    def checkpoint(self, checkpoint: Json) -> None: ...
    def close(self) -> None: ...


def follow(client: Client, job_id: str, *, quiet: bool = False, draw: bool = True) -> Followed:
    """Show events and steps from the beginning until the job has ended or needs a `start`; then
    draw the loss."""
    with _display(quiet=quiet) as display:
        last_step, last_checkpoint, n_events = -1, 0, 0
        paused = False
        while True:
            # The job is read before its steps: once it has ended, no step is missing after it.
            job = client.get(f"/v1/fine_tuning/jobs/{job_id}", patience_s=PATIENCE_S)
            new = client.steps(job_id, after_step=last_step)
            for event in job["events"][n_events:]:
                display.event(event["data"]["status"], event["data"].get("message") or "")
            for row in new.rows:
                display.step(row, new.progress)
                last_step = row["step"]
            for checkpoint in reversed(job["checkpoints"]):
                if checkpoint["step_number"] > last_checkpoint:
                    display.checkpoint(checkpoint)
                    last_checkpoint = checkpoint["step_number"]
            n_events = len(job["events"])
            if job.get("paused") and not paused:
                display.event("PAUSED", f"`modiste jobs resume {job_id}` goes on.")
            paused = bool(job.get("paused"))
            if job["status"] in FINAL or needs_start(job):
                # Read again: evaluations are added to steps that were shown already.
                steps = client.steps(job_id, after_step=-1).rows
                if job["status"] == "SUCCESS" and draw and not quiet:
                    for line in curve(steps):
                        say(line)
                return Followed(job, steps)
            time.sleep(POLL_S)


def needs_start(job: Mapping[str, Any]) -> bool:
    """The job is planned and will not go on by itself."""
    return job["status"] == "VALIDATED" and not job["auto_start"]


def failure(job: Mapping[str, Any]) -> ModisteError | None:
    """Why a job that has ended made no model; None where it made one, or waits to be started."""
    if job["status"] == "SUCCESS" or needs_start(job):
        return None
    error = job.get("error") or {}
    reason = error.get("message") or f"job {job['id']} ended as {job['status']}"
    return ModisteError(reason, code=error.get("code") or "job_failed")


def step_line(row: Json, progress: Json) -> str:
    """`step 40/300  loss 1.204 (ppl 3.33)  lr 9.8e-05  grad 0.41  3120 tokens/s (1210 trained)
    epoch 0.8  1.2 GB  ETA 1 min 12 s` on one line; unknowns stay out."""
    total = progress.get("total_steps")
    if row["step"] == 0:
        told = _validation(row.get("valid_loss"), row.get("valid_token_accuracy"))
        return "  ".join([f"step 0  {told} (base)", *_of_pairs(row.get("valid_measures"))])
    parts = [f"step {row['step']}/{total}" if total else f"step {row['step']}"]
    if row.get("loss") is not None:
        text = f"loss {row['loss']:.3f}"
        # What an objective with measures minimises is no logarithm of a probability per token.
        parts.append(text if row.get("measures") else f"{text} (ppl {perplexity(row['loss'])})")
    parts += _of_pairs(row.get("measures"))
    if row.get("learning_rate") is not None:
        parts.append(f"lr {row['learning_rate']:.1e}")
    if row.get("grad_norm") is not None:
        parts.append(f"grad {row['grad_norm']:.2g}")
    if row.get("tokens_per_s"):
        trained = row.get("trained_tokens_per_s")
        of_them = f" ({trained:.0f} trained)" if trained else ""
        parts.append(f"{row['tokens_per_s']:.0f} tokens/s{of_them}")
    if progress.get("mfu") is not None:
        parts.append(f"MFU {progress['mfu']:.0%}")
    if progress.get("epoch") is not None:
        parts.append(f"epoch {progress['epoch']:.2f}")
    memory = progress.get("gpu_memory_bytes") or progress.get("memory_bytes")
    if memory:
        parts.append(f"{memory / 1e9:.1f} GB")
    if progress.get("eta_s") is not None:
        parts.append(f"ETA {duration(progress['eta_s'])}")
    return "  ".join(parts)


def _of_pairs(measures: Mapping[str, float] | None) -> list[str]:
    """`right 75%  margin 0.42`: how often the chosen answer's reward is the larger, by how much."""
    found = measures or {}
    texts = {"preference_accuracy": "right {:.0%}", "reward_margin": "margin {:.2g}"}
    return [text.format(found[name]) for name, text in texts.items() if name in found]


def perplexity(loss: float) -> str:
    """e^loss: among how many equally likely tokens the model seems to choose."""
    return f"{math.exp(loss):.3g}" if loss < 50 else "huge"


def _validation(loss: float | None, accuracy: float | None) -> str:
    parts = []
    if loss is not None:
        parts.append(f"validation loss {loss:.3f}")
    if accuracy is not None:
        parts.append(f"accuracy {accuracy:.1%}")
    return ", ".join(parts)


def curve(steps: list[Json]) -> list[str]:
    """Lines that draw the training loss; the validation losses below it."""
    points = [(row["step"], row["loss"]) for row in steps if row.get("loss") is not None]
    if len(points) < MIN_CURVE_STEPS:
        return []
    smooth = smoothed([loss for _, loss in points], window=max(1, len(points) // 40))
    drawn = [(step, loss) for (step, _), loss in zip(points, smooth, strict=True)]
    lines = ["training loss", *log_curve(drawn, width=60, height=8)]
    measured = [row for row in steps if row.get("valid_loss") is not None]
    if measured:
        best = min(measured, key=lambda row: float(row["valid_loss"]))
        said = [
            f"{row['valid_loss']:.3f} at {row['step']}" for row in (measured[0], best, measured[-1])
        ]
        lines.append(f"validation loss {said[0]}, best {said[1]}, last {said[2]}")
    return lines


def checkpoint_line(checkpoint: Json) -> str:
    """`checkpoint 40  validation loss 0.546, accuracy 81.2%`."""
    metrics = checkpoint["metrics"]
    text = _validation(metrics.get("valid_loss"), metrics.get("valid_mean_token_accuracy"))
    return f"checkpoint at step {checkpoint['step_number']}  {text}".rstrip()


@contextmanager
def _display(*, quiet: bool) -> Iterator[Display]:
    display: Display
    if quiet:
        display = Silent()
    elif sys.stderr.isatty():
        display = LiveLine()
    else:
        display = PlainLines()
    try:
        yield display
    finally:
        display.close()


class Silent:
    def event(self, status: str, message: str) -> None:
        """Nothing: a program reads the end."""

    def step(self, row: Json, progress: Json) -> None:
        """Nothing."""

    def checkpoint(self, checkpoint: Json) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class PlainLines:
    """For logs: every event and checkpoint, a step every few seconds, and the last one."""

    def __init__(self) -> None:
        self._said_at = 0.0

    def event(self, status: str, message: str) -> None:
        say(f"{status:<10} {printable(message)}".rstrip())

    def step(self, row: Json, progress: Json) -> None:
        due = time.monotonic() - self._said_at >= PLAIN_INTERVAL_S
        if due or row["step"] == progress.get("total_steps"):
            self._said_at = time.monotonic()
            say(step_line(row, progress))

    def checkpoint(self, checkpoint: Json) -> None:
        say(checkpoint_line(checkpoint))

    def close(self) -> None:
        """Nothing is open."""


class LiveLine:
    """A bar that moves, events above it."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TextColumn("{task.fields[facts]}"),
            console=Console(stderr=True, highlight=False),
        )
        self._task = self._bar.add_task("Waiting", total=None, facts="")
        self._bar.start()

    def event(self, status: str, message: str) -> None:
        from rich.text import Text

        line = Text(f"{status:<10} ", style=_STYLES.get(status, "cyan"))
        line.append(printable(message), style="default")
        self._bar.console.print(line)
        self._bar.update(self._task, description=_DOING.get(status, status.capitalize()))

    def step(self, row: Json, progress: Json) -> None:
        self._bar.update(
            self._task,
            total=progress.get("total_steps"),
            completed=row["step"],
            facts=step_line(row, progress),
        )

    def checkpoint(self, checkpoint: Json) -> None:
        self._bar.console.print(f"           {checkpoint_line(checkpoint)}", style="dim")

    def close(self) -> None:
        self._bar.stop()


_STYLES = {"SUCCESS": "green", "FAILED": "red", "FAILED_VALIDATION": "red", "CANCELLED": "yellow"}
_DOING = {
    "QUEUED": "Waiting",
    "VALIDATING": "Checking",
    "VALIDATED": "Checked",
    "STARTED": "Starting",
    "RUNNING": "Tuning",
    "SUCCESS": "Done",
    "CANCELLATION_REQUESTED": "Stopping",
}
