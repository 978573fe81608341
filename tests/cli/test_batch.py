"""`modiste batch` against the real front in this process; no worker, so nothing runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modiste import settings as settings_module
from modiste.actions import batch_runs
from modiste.actions.batch_runs import Results
from modiste.cli import batch as batch_cli
from modiste.store import queue
from modiste.store.database import Database
from modiste.store.queue import WorkerId
from modiste.store.tables import Phase
from modiste.types import BatchCounts

LINE = {"custom_id": "a", "body": {"messages": [{"role": "user", "content": "hi"}]}}


@pytest.fixture
def made(modiste: Any, write: Callable[..., Path]) -> str:
    """The id of a batch that waits."""
    path = write("in.jsonl", [LINE, {**LINE, "custom_id": "b"}])
    result = modiste("batch", "create", path, "--model", "modiste-tiny", "--metadata", "k=v")
    assert result.code == 0, result.err
    assert "2 requests. Next: modiste up" in result.err
    return str(result.out.strip())


@pytest.fixture
def ended(home: Path, made: str, tmp_path: Path) -> str:
    """The same, with one result of each kind."""
    database = Database(settings_module.load({"home": home}, environment={}))
    with database.transaction() as tx:
        claim = queue.claim(tx, WorkerId.of_this_process("tester"), {Phase.BATCH})
        assert claim is not None
        task = batch_runs.taken(tx, claim)
    files = []
    for name in ("good", "bad"):
        (tmp_path / name).write_text(json.dumps({"custom_id": name}) + "\n")
        stored = batch_runs.store(database, task, tmp_path / name, errors=name == "bad")
        files.append(stored)
    with database.transaction() as tx:
        batch_runs.record_ended(tx, claim, BatchCounts(2, 1, 1), Results(*files))
    database.close()
    return made


def test_a_batch_is_made_listed_shown_and_cancelled(modiste: Any, made: str) -> None:
    shown = modiste("batch", "show", made)
    for part in ("QUEUED", "/v1/chat/completions", "0 of 2 succeeded", "k=v"):
        assert part in shown.out
    assert made in modiste("batch", "list", "--metadata", "k=v", "--status", "QUEUED").out
    assert "modiste batch create" in modiste("batch", "list", "--metadata", "k=w").err
    assert modiste("batch", "results", made).code == 1
    assert "CANCELLED" in modiste("batch", "cancel", made).err
    assert modiste("batch", "wait", made).code == 1
    assert modiste("batch", "delete", made).code == 0
    assert modiste("batch", "list", "--json").json["data"] == []


def test_results_go_to_standard_output_or_a_new_file(
    modiste: Any, ended: str, tmp_path: Path
) -> None:
    result = modiste("batch", "results", ended)
    assert json.loads(result.out) == {"custom_id": "good"}
    assert "1 of 2 succeeded, 1 failed; --errors shows the others" in result.err
    assert json.loads(modiste("batch", "results", ended, "--errors").out) == {"custom_id": "bad"}
    target = tmp_path / "out.jsonl"
    assert modiste("batch", "results", ended, "-o", target, "--json").json["bytes"] == 22
    again = modiste("batch", "results", ended, "-o", target)
    assert (again.code, target.read_text()) == (1, '{"custom_id": "good"}\n')
    assert "exists already" in again.err


def test_waiting_for_an_ended_batch_says_how_it_ended(modiste: Any, ended: str) -> None:
    result = modiste("batch", "wait", ended)
    assert result.code == 0
    assert "SUCCESS: 1 of 2 succeeded, 1 failed" in result.err
    assert modiste("batch", "wait", ended, "--json").json["status"] == "SUCCESS"


def test_everything_wrong_is_said_at_once(modiste: Any, write: Callable[..., Path]) -> None:
    path = write("in.jsonl", [LINE])
    result = modiste("batch", "create", path, "--model", "gone", "--endpoint", "/v1/ocr")
    assert result.code == 2
    assert "/v1/ocr" in result.err
    assert "gone" in result.err
    assert "KEY=VALUE" in modiste("batch", "create", path, "--metadata", "novalue").err


def test_errors_of_lines_are_shown_up_to_a_point(capsys: pytest.CaptureFixture[str]) -> None:
    errors = [{"message": f"line {n}: wrong"} for n in range(25)]
    batch_cli._say_errors({"errors": errors})
    said = capsys.readouterr().err
    assert "line 19: wrong" in said
    assert "… and 5 more" in said
