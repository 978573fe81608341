"""A double of the server for commands that ask for many evaluations and tunings.

It is told what every model scores on every suite; it remembers what it was asked.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "evaluate"))
from kept_runs import lines, told
from scripted_runs import run, shares

from modiste.evaluate.record import Run

N = 400
Scores = Callable[[str, str], int]
"""Suite and model → how many of `N` items are right."""


class Server:
    standing = True

    def __init__(self, right: Scores, *, kinds: dict[str, str] | None = None) -> None:
        self._right, self._kinds = right, kinds or {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.runs: dict[str, tuple[dict[str, Any], Run]] = {}
        self.broken: set[int] = set()
        """Numbers of the jobs that fail, from 1."""
        self.gone = False
        """Every run fails."""

    @contextmanager
    def connected(self, *_: object, **__: object) -> Iterator[Server]:
        yield self

    def upload(self, path: Path, *, purpose: str = "fine-tune") -> dict[str, Any]:
        return {"id": f"file-{path.name}", "num_lines": 1}

    def post(self, path: str, body: dict[str, Any], **_: object) -> dict[str, Any]:
        if path == "/v1/fine_tuning/jobs":
            return self._job(body)
        assert path == "/v1/evals/runs", path
        return {"data": [self._run(body["suite"], name) for name in body["suite"]["models"]]}

    def get(self, path: str, **_: object) -> dict[str, Any]:
        *_, kind, name = path.rstrip("/").split("/")
        if name == "files":
            return {"data": []}
        if name == "report":
            return {"files": [{"format": "chat"}]}
        if kind == "jobs":
            return self.jobs[name]
        if kind == "models":
            return {"id": name, "type": self._kinds.get(name, "base"), "job": "job-1"}
        if name == "suite":
            return self.runs[kind][0]["spec"]
        return self.runs[name][0]

    def steps(self, *_: object, **__: object) -> Any:
        class Steps:
            rows: tuple[()] = ()
            progress = None

        return Steps()

    def content(self, path: str) -> Iterator[bytes]:
        yield lines(self.runs[path.split("/")[-2]][1])

    def _job(self, body: dict[str, Any]) -> dict[str, Any]:
        number = len(self.jobs) + 1
        failed = number in self.broken
        self.jobs[f"job-{number}"] = {
            "id": f"job-{number}",
            "status": "FAILED" if failed else "SUCCESS",
            "error": {"message": "the loss is NaN", "code": "diverged"} if failed else None,
            "fine_tuned_model": None if failed else f"ft:{number}",
            "hyperparameters": body["hyperparameters"],
            "events": [{"data": {"status": "RUNNING"}, "created_at": 1000}],
            "checkpoints": [],
            "auto_start": True,
            "created_at": 900,
            "modified_at": 4600,
        }
        return self.jobs[f"job-{number}"]

    def _run(self, suite: dict[str, Any], subject: str) -> dict[str, Any]:
        model = suite["models"][subject]["model"]
        right = self._right(suite["name"], model)
        made = run(
            subject,
            {"exact": shares(N, right)},
            record={"suite": suite["name"], "dataset_sha256": suite["name"]},
            cost_micro=None,
        )
        made = replace(made, record=replace(made.record, model=model, model_id=model))
        run_id = f"run-{len(self.runs) + 1}"
        shown = {
            **told(made),
            "id": run_id,
            "subject": subject,
            "model": model,
            "spec": suite,
            "counts": {"done": N, "total": N, "failed": 0},
            "error": {"message": "gone"} if self.gone else None,
        }
        if self.gone:
            shown["status"] = "FAILED"
        self.runs[run_id] = (shown, made)
        return shown
