"""What docs/data-server.md shows is run, in the order shown."""

from __future__ import annotations

import json
import os
import re
import shlex
import threading
from pathlib import Path

import pytest

from modiste import settings as settings_module
from modiste.__main__ import main
from modiste.actions import runs
from modiste.store.blobs import adapter_of
from modiste.store.database import Database
from modiste.store.queue import WorkerId
from modiste.types import Parity
from modiste.work import validation
from modiste.work.bench import Bench
from modiste.work.pulse import Pulse
from modiste.work.supervisor import environment

PAGE = (Path(__file__).parents[2] / "docs" / "data-server.md").read_text(encoding="utf-8")
PIPELINE = "inputs: all.jsonl\nstages: [dedup, {split: {parts: 80/20}}]\noutput: dataset\n"


def commands() -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines()]


def chat(n: int) -> dict[str, object]:
    turns = [("user", f"What is {n} times {n}?"), ("assistant", f"{n} times {n} is {n * n}.")]
    return {"messages": [{"role": role, "content": text} for role, text in turns]}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a reader would stand: three files, stages, and what a pipeline wrote."""
    for name, numbers in (
        ("train.jsonl", range(40)),
        ("held-out.jsonl", range(40, 44)),
        ("all.jsonl", range(60)),
    ):
        lines = [json.dumps(chat(n)) + "\n" for n in numbers]
        (tmp_path / name).write_text("".join(lines))
    (tmp_path / "stages.yaml").write_text("- dedup\n")
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    for name in list(os.environ):
        if name.startswith("MODISTE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MODISTE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tuned(home: Path) -> str:
    """The model of the job that waits: really validated, not really trained."""
    database = Database(settings_module.load({"home": home}, environment={}))
    worker = WorkerId.of_this_process("reader")
    with database.transaction() as tx:
        job = runs.take(tx, worker)
    assert job is not None
    with Pulse(database, worker) as pulse, pulse.holding(job.claim):
        parts = environment(database.settings)
        validation.run(Bench(job, database, pulse, threading.Event(), parts))
    with database.transaction() as tx:
        job = runs.take(tx, worker)
        assert job is not None
        runs.record_trained(tx, job.claim, adapter=adapter_of({"a": "f" * 64}), trained_tokens=9)
        parity = Parity(True, 8, 100, 1e-5, 1e-6, 1e-3, 0.5, "Served as trained.")
        model = runs.record_success(tx, job.claim, parity=parity)
    database.close()
    assert model is not None
    return model.id


def test_the_commands_run_in_the_order_shown(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "run", "pipeline.yaml"]) == 0
    capfd.readouterr()
    assert main(["jobs", "create", "--model", "modiste-tiny", "--file", "train.jsonl"]) == 0
    job = capfd.readouterr().out.strip()
    model = tuned(folder / "home")
    main(["files", "list", "--json"])
    file = json.loads(capfd.readouterr().out)["data"][0]["id"]
    ours = {"MODEL": model, "JOB_ID": job, "FILE_ID": file}
    for command in commands():
        words = [ours.get(word, word) for word in shlex.split(command, comments=True)]
        assert words[0] == "modiste"
        assert main(words[1:]) == 0, capfd.readouterr().err
    told = capfd.readouterr()
    assert f"stale: {model}" in told.err
    assert (folder / "copy" / "dataset.json").is_file()
    assert (folder / "report.html").is_file()
