"""A team says what good means, measures base and tuned model, and ships on that evidence alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from modiste.cli.quickstart import N_HELDOUT, N_TRAIN, N_VALIDATION, RECIPE
from modiste.prepare.synthesize import support_routing, to_jsonl

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
NAME = "support-bot@production"
SUITE = {
    "name": "departments",
    "dataset": {"path": "asked.jsonl", "reference": "{{department}}"},
    "prompt": "{{message}}",
    "models": {"base": {"model": "modiste-tiny"}},
    "sampling": {"max_tokens": 16},
    "scorers": [{"kind": "classification", "name": "department"}],
}
GATE = {
    "primary": {"metric": "department.accuracy"},
    "floors": [{"metric": "department.accuracy", "at_least": 0.5}],
    "approvers": {"names": ["ada@example.org"]},
    "min_items": 30,
}


class Modiste:
    """`modiste` as a user types it, in a home and a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "MODISTE_HOME": str(folder / "home"), "MODISTE_PORT": "0"}

    def run(self, *arguments: str, exit_code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "modiste", *arguments],
            cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=600,
        )  # fmt: skip
        assert done.returncode == exit_code, (arguments, done.stdout, done.stderr)
        return done.stdout

    def json(self, *arguments: str, exit_code: int = 0) -> Any:
        return json.loads(self.run(*arguments, "--json", exit_code=exit_code))

    def says(self, model: str) -> str:
        home = self.folder / "home"
        asked = json.loads((self.folder / "asked.jsonl").read_text().splitlines()[0])
        body = {
            "model": model,
            "messages": [{"role": "user", "content": asked["message"]}],
            "temperature": 0.0,
            "max_tokens": 16,
        }
        url = json.loads((home / "run" / "server.json").read_text())["url"]
        key = (home / "admin.key").read_text().strip()
        headers = {"Authorization": f"Bearer {key}"}
        answer = httpx.post(f"{url}/v1/chat/completions", json=body, headers=headers, timeout=120)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["choices"][0]["message"]["content"])


@pytest.fixture(scope="module")
def modiste(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Modiste]:
    folder = tmp_path_factory.mktemp("verdict")
    write_rows(folder)
    found = Modiste(folder)
    up = subprocess.Popen([sys.executable, "-m", "modiste", "up"], env=found.environment)
    server = folder / "home" / "run" / "server.json"
    deadline = time.monotonic() + 120
    while not server.exists():
        assert time.monotonic() < deadline, "the server does not start"
        time.sleep(0.2)
    try:
        yield found
    finally:
        up.send_signal(signal.SIGTERM)
        up.wait(60)


def write_rows(folder: Path) -> None:
    data = support_routing(N_TRAIN, N_VALIDATION, N_HELDOUT, seed=0)
    (folder / "train.jsonl").write_bytes(to_jsonl(data.train))
    asked = [
        {"message": row["messages"][0]["content"], "department": row["messages"][-1]["content"]}
        for row in data.heldout
    ]
    (folder / "asked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
    tune = {"model": "modiste-tiny", "data": {"train": "train.jsonl"}, **RECIPE, "max_steps": 60}
    (folder / "tune.yaml").write_text(json.dumps(tune))
    (folder / "suite.yaml").write_text(json.dumps(SUITE))
    (folder / "gate.yaml").write_text(json.dumps(GATE))


def test_a_tuned_model_is_measured_compared_promoted_and_rolled_back(modiste: Modiste) -> None:
    tuned = modiste.json("tune", "tune.yaml")["fine_tuned_model"]
    by = {
        run["subject"]: run
        for run in modiste.json(
            "eval", "run", "suite.yaml", "--model", "base", "--model", f"tuned={tuned}"
        )
    }
    assert {run["status"] for run in by.values()} == {"SUCCESS"}
    base_run, tuned_run = by["base"]["id"], by["tuned"]["id"]

    found = modiste.json("eval", "compare", base_run, tuned_run)
    assert found["differences"][0]["verdict"] == "better"
    modiste.run("eval", "report", tuned_run, "--html", "tuned.html")
    assert "department.accuracy" in (modiste.folder / "tuned.html").read_text()

    worse = ["models", "promote", "modiste-tiny", "--as", NAME, "--gate", "gate.yaml"]
    modiste.run(*worse, "--run", base_run, "--baseline", tuned_run, exit_code=1)
    gated = ["models", "promote", tuned, "--as", NAME, "--gate", "gate.yaml", "--run", tuned_run]
    modiste.run(*gated, "--baseline", base_run, exit_code=1)  # Nobody approved it.
    modiste.run(*gated, "--baseline", base_run, "--approved-by", "ada@example.org")
    assert modiste.says(NAME) == modiste.says(tuned)

    modiste.run("models", "alias", NAME, "modiste-tiny", exit_code=1)  # Under a gate.
    modiste.run("models", "promote", "modiste-tiny", "--as", NAME, "--override", "an incident")
    assert modiste.says(NAME) == modiste.says("modiste-tiny")
    modiste.run("models", "rollback", NAME)
    assert modiste.says(NAME) == modiste.says(tuned)
    kinds = [each["kind"] for each in modiste.json("models", "history", NAME)["data"]]
    assert kinds == ["rolled_back", "overridden", "promoted", "refused", "refused"]


def test_the_same_suite_gives_the_same_figures_again_and_grading_anew_generates_nothing(
    modiste: Modiste,
) -> None:
    first, second = (modiste.json("eval", "run", "suite.yaml")[0] for _ in range(2))
    assert first["metrics"] == second["metrics"]
    anew = modiste.json("eval", "rescore", first["id"])
    assert anew["metrics"] == first["metrics"]
    assert anew["source"] == first["id"]
