"""`modiste data trace` and `forget`, against the real front in this process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modiste import settings as settings_module
from modiste.actions import runs
from modiste.prepare.records import row_id
from modiste.store.blobs import adapter_of
from modiste.store.database import Database
from modiste.store.queue import WorkerId
from modiste.types import Hyperparameters, JobEstimate, Parity


def chat(question: str) -> dict[str, Any]:
    turns = [("user", question), ("assistant", "Yes.")]
    return {"messages": [{"role": role, "content": text} for role, text in turns]}


ROWS = [chat("one"), chat("two"), chat("three")]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


@pytest.fixture
def model(modiste, file: Path, home: Path) -> str:
    """A model made of the file; nothing was trained."""
    job = modiste("jobs", "create", "--model", "modiste-tiny", "--file", file, "--json").json
    return made_by(job, home)


def made_by(job: dict[str, Any], home: Path) -> str:
    database = Database(settings_module.load({"home": home}, environment={}))
    worker = WorkerId.of_this_process("tester")
    with database.transaction() as tx:
        taken = runs.take(tx, worker)
        assert taken is not None
        assert taken.job.id == job["id"]
        blobs = {"report_sha256": None, "preview_sha256": None}
        runs.record_data(tx, taken.claim, rows=taken.rows, **blobs)
        plan = {"estimate": JobEstimate(), "hyperparameters": Hyperparameters()}
        runs.record_validated(tx, taken.claim, spec={}, skip_lines={}, **plan)
    with database.transaction() as tx:
        taken = runs.take(tx, worker)
        assert taken is not None
        files = {
            "adapter_config.json": database.blobs.put_bytes(b'{"r": 16, "lora_alpha": 32}').sha256,
            "adapter_model.safetensors": database.blobs.put_bytes(b"weights").sha256,
        }
        runs.record_trained(tx, taken.claim, adapter=adapter_of(files), trained_tokens=9)
        parity = Parity(True, 8, 100, 1e-5, 1e-6, 1e-3, 0.5, "Served as trained.")
        made = runs.record_success(tx, taken.claim, parity=parity)
    assert made is not None
    database.close()
    return made.id


def test_a_model_tells_its_files_and_every_row(modiste, model: str) -> None:
    told = modiste("data", "trace", model)
    assert told.code == 0
    assert "rows.jsonl" in told.out
    listed = modiste("data", "trace", model, "--rows").out
    assert [f"{row_id(row)}  train  rows.jsonl line {n}" in listed for n, row in enumerate(ROWS, 1)]
    seen = modiste("data", "trace", model, "--rows", "--json").json["seen"]
    assert [row["id"] for row in seen] == [row_id(row) for row in ROWS]


def test_a_row_is_named_by_id_by_a_local_line_or_by_the_line_of_an_upload(
    modiste, model: str, file: Path
) -> None:
    upload = modiste("files", "list", "--json").json["data"][0]["id"]
    wanted = row_id(ROWS[1])
    for how in (
        ["--row", wanted],
        ["--file", file, "--line", "2"],
        ["--file", upload, "--line", "2"],
    ):
        found = modiste("data", "trace", *how, "--json").json
        assert found["id"] == wanted
        assert [seen["model"] for seen in found["models"]] == [model]
    assert model in modiste("data", "trace", "--row", wanted).out


def test_a_model_that_went_on_from_another_shows_what_that_one_saw(
    modiste, model: str, home: Path, tmp_path: Path
) -> None:
    more = tmp_path / "more.jsonl"
    more.write_text(json.dumps(chat("four")) + "\n")
    job = modiste("jobs", "create", "--model", model, "--file", more, "--json").json
    second = made_by(job, home)
    told = modiste("data", "trace", second, "--rows").out
    assert "went on from" in told
    assert model in told
    files = [line.split()[:3] for line in told.splitlines() if " train " in line and "…" in line]
    parent = modiste("data", "trace", model, "--json").json["job"]
    assert files == [[job["id"][:8], "train", "more.jsonl"], [parent[:8], "train", "rows.jsonl"]]
    for row in (*ROWS, chat("four")):
        assert f"{row_id(row)}  train" in told
    by_row = modiste("data", "trace", "--row", row_id(ROWS[0]))
    assert f"through {model}" in by_row.out


def test_forgetting_asks_first_and_marks_the_model(modiste, model: str, file: Path) -> None:
    line = ["--file", file, "--line", "3"]
    refused = modiste("data", "forget", *line, "--reason", "asked to")
    assert refused.code == 2
    assert model in refused.err
    assert "--yes" in refused.err
    assert modiste("data", "trace", model, "--json").json["stale"] is None

    done = modiste("data", "forget", *line, "--reason", "asked to", "--yes")
    assert done.code == 0
    assert f"stale: {model}" in done.err
    assert "rows.jsonl" in done.out, "the file still holds the row"
    assert modiste("data", "trace", model, "--json").json["stale"]["reason"] == "asked to"
    assert "stale" in modiste("models", "list").out
    assert "forgotten" in modiste("data", "trace", *line).err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["trace"], "name a model, or a row"),
        (["trace", "ft:x", "--row", "0" * 32], "name a model, or a row"),
        (["trace", "--line", "1"], "--file and --line go together"),
        (["trace", "--file", "x"], "--file and --line go together"),
        (["forget", "--row", "0" * 32], "--reason"),
        (["forget", "--reason", "r", "--yes"], "name a row"),
        (["trace", "--row", "short"], "32 hex digits"),
    ],
)
def test_a_question_that_cannot_be_answered_says_what_to_type(
    modiste, arguments: list[str], says: str
) -> None:
    result = modiste("data", *arguments)
    assert result.code == 2
    assert says in result.err


def test_a_line_without_a_row_is_said(modiste, file: Path) -> None:
    result = modiste("data", "trace", "--file", file, "--line", "1", "--line", "9")
    assert result.code == 2
    assert "no row that begins in line 9" in result.err


def test_a_model_that_is_not_there_fails(modiste) -> None:
    assert modiste("data", "trace", "ft:nothing").code == 1
