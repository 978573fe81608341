"""A trainer that only counts: same folder, files, lock and words as the real one, without torch.

MODISTE_HOME/standin.json may say how to misbehave: {"steps", "step_s", "stall_at", "die_at",
"fail_at", "linger_s"}. It checkpoints every five steps and goes on from there.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import IO, Any


def locked(lock: IO[bytes]) -> bool:
    deadline = time.monotonic() + 2
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)


def keep(checkpoint: Path, step: int) -> None:
    """Whole or not at all, as a real trainer's: it may be killed at any moment."""
    beside = checkpoint.with_suffix(".new")
    beside.write_text(str(step))
    beside.replace(checkpoint)


def main() -> None:
    run_dir = Path(sys.argv[1])
    told = Path(os.environ["MODISTE_HOME"]) / "standin.json"
    how: dict[str, Any] = json.loads(told.read_text()) if told.exists() else {}
    steps, step_s = how.get("steps", 20), how.get("step_s", 0.03)
    terminated: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: terminated.append(number))
    with (run_dir / "lock").open("ab") as lock, (run_dir / "events.jsonl").open("a") as events:
        if not locked(lock):
            sys.exit(75)

        def say(name: str, **values: Any) -> None:
            events.write(json.dumps({"event": name, **values}) + "\n")
            events.flush()

        with (run_dir / "trainers").open("a") as trainers:
            trainers.write(f"{os.getpid()}\n")
        checkpoint = run_dir / "checkpoints" / "step"
        checkpoint.parent.mkdir(exist_ok=True)
        first = int(checkpoint.read_text()) if checkpoint.exists() else 0
        say("started", total_steps=steps)
        if first:
            say("resumed", step=first)
        for step in range(first + 1, steps + 1):
            if terminated or (run_dir / "cancel").exists():
                return say("cancelled", step=step)
            if (run_dir / "pause").exists():
                keep(checkpoint, step - 1)
                return say("paused", step=step - 1)
            if step == how.get("stall_at"):
                time.sleep(600)
            if step == how.get("die_at"):
                os.kill(os.getpid(), signal.SIGKILL)
            if step == how.get("fail_at"):
                return say(
                    "failed",
                    code=how.get("fail_code", "nan_loss"),
                    message="the loss is NaN at step 3",
                )
            time.sleep(step_s)
            rates = {"learning_rate": 1e-4, "tokens_per_s": 100.0, "eta_s": 1.0, "grad_norm": 1.0}
            say("step", step=step, total_steps=steps, loss=1 / step, n_tokens=10 * step, **rates)
            if step % 5 == 0:
                keep(checkpoint, step)
                say("checkpoint", step=step, train_loss=1 / step, valid_loss=None)
        adapter = run_dir / "adapter"
        adapter.mkdir(exist_ok=True)
        (adapter / "adapter_config.json").write_text("{}")
        (adapter / "adapter_model.safetensors").write_bytes(b"weights")
        say("finished", adapter_dir=str(adapter), trained_tokens=10 * steps)
        time.sleep(how.get("linger_s", 0))


if __name__ == "__main__":
    main()
