"""`modiste eval` against the real front in this process; no worker, so nothing runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modiste import settings as settings_module
from modiste.actions import eval_runs
from modiste.actions.eval_runs import Outcome
from modiste.cli import eval as eval_cli
from modiste.evaluate.items import SAMPLES, Answer, Item, Sample, scored
from modiste.evaluate.metric import METRICS, mean_metric
from modiste.store import queue
from modiste.store.database import Database
from modiste.store.queue import WorkerId
from modiste.store.tables import Phase
from modiste.types import EvalCounts

SUITE = """
name: capitals
dataset: {path: rows.jsonl, reference: "{{capital}}"}
prompt: "Capital of {{country}}?"
models: {base: {model: modiste-tiny}, told: {model: modiste-tiny, system: Be brief.}}
scorers: [exact]
"""


@pytest.fixture
def suite(write: Callable[..., Path], tmp_path: Path) -> Path:
    write("rows.jsonl", [{"country": f"c{n}", "capital": "x"} for n in range(4)])
    path = tmp_path / "suite.yaml"
    path.write_text(SUITE)
    return path


@pytest.fixture
def made(modiste: Any, suite: Path) -> list[str]:
    """The ids of two runs that wait."""
    result = modiste("eval", "run", suite, "--no-wait")
    assert result.code == 0, result.err
    return [line.split()[0] for line in result.out.splitlines()]


@pytest.fixture
def ended(home: Path, made: list[str]) -> str:
    """The first of them, ended well: three samples of four are right, one has no score."""
    samples = [
        Sample(Item(f"r{n}", {"ä": "→"}), 0, (), Answer("x"), {"exact": scored(n < 3)} if n else {})
        for n in range(5)
    ]

    class Exact:
        name, higher_is_better, scale, unit = "exact", True, (0.0, 1.0), "share"

    metrics = METRICS.dump_python((mean_metric(Exact(), samples),), mode="json")
    database = Database(settings_module.load({"home": home}, environment={}))
    with database.transaction() as tx:
        claim = queue.claim(tx, WorkerId.of_this_process("tester"), {Phase.EVALUATE})
        assert claim is not None
        lines = b"".join(SAMPLES.dump_json(sample) + b"\n" for sample in samples)
        outcome = Outcome(
            counts=EvalCounts(5, 5, 1, 10, 5),
            samples_sha256=database.blobs.put_bytes(lines).sha256,
            record={"primary": "exact.mean", "dataset_sha256": "d" * 64},
            metrics=metrics,
        )
        eval_runs.record_ended(tx, claim, outcome)
    database.close()
    return claim.job_id


def test_without_a_server_runs_are_queued_and_what_to_do_next_is_said(
    modiste: Any, suite: Path
) -> None:
    result = modiste("eval", "run", suite, "--no-wait")
    assert result.code == 0, result.err
    assert [line.split()[1] for line in result.out.splitlines()] == ["base", "told"]
    assert "`modiste up` starts one" in result.err
    assert f"modiste eval wait {result.out[:8]}" in result.err


def test_models_are_chosen_replaced_and_items_limited(modiste: Any, suite: Path) -> None:
    result = modiste(
        "eval", "run", suite, "--no-wait", "--json", "--limit", "2",
        "--model", "told", "--model", "new=modiste-tiny",
    )  # fmt: skip
    assert result.code == 0, result.err
    assert [(run["subject"], run["model"]) for run in result.json] == [
        ("told", "modiste-tiny"), ("new", "modiste-tiny"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("prompt:", "promt:", "did you mean 'prompt'"),
        ("{{country}}", "{{city}}", "city"),
        ("model: modiste-tiny}", "model: nobody}", "nobody"),
        ("path: rows.jsonl", "path: gone.jsonl", "no file gone.jsonl"),
        ("exact", "exakt", "exakt"),
        ("dataset:", "data:", "did you mean"),
    ],
)
def test_a_wrong_suite_is_refused_in_one_message(
    modiste: Any, suite: Path, old: str, new: str, said: str
) -> None:
    suite.write_text(SUITE.replace(old, new, 1))
    result = modiste("eval", "run", suite, "--no-wait", "--limit", "3")
    assert result.code != 0
    assert said in result.err
    assert "Traceback" not in result.err
    assert modiste("eval", "list", "--json").json["total"] == 0


def test_a_list_without_runs_says_how_to_make_some(modiste: Any) -> None:
    result = modiste("eval", "list")
    assert (result.code, "modiste eval run suite.yaml" in result.out + result.err) == (0, True)
    assert modiste("eval", "list", "--json").json["data"] == []


def test_runs_are_listed_and_shown_with_interval_n_and_what_is_unscored(
    modiste: Any, ended: str
) -> None:
    listed = modiste("eval", "list")
    assert listed.code == 0
    assert "SUCCESS" in listed.out
    shown = modiste("eval", "show", ended[:8])
    assert shown.code == 0, shown.err
    [line] = [line for line in shown.out.splitlines() if "exact.mean" in line]
    assert "50.0 %" in line  # r1 and r2 of r1 to r4; r0 has no score.
    assert "15.0 % … 85.0 %" in line  # Wilson's interval of 2 of 4.
    assert line.split()[-2:] == ["4", "1"]
    assert modiste("eval", "show", ended, "--json").json["id"] == ended


def test_samples_are_written_whole_and_never_over_a_file(
    modiste: Any, ended: str, made: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "samples.jsonl"
    told = modiste("eval", "samples", ended, "-o", path, "--json").json
    lines = [json.loads(line) for line in path.open()]
    assert (told["bytes"], len(lines)) == (path.stat().st_size, 5)
    assert lines[0]["item"]["row"] == {"ä": "→"}
    assert modiste("eval", "samples", ended).out == path.read_text()
    again = modiste("eval", "samples", ended, "-o", path)
    assert (again.code != 0, "exists already" in again.err) == (True, True)
    [other] = set(made) - {ended}
    nothing = modiste("eval", "samples", other, "-o", tmp_path / "none.jsonl")
    assert "has no samples" in nothing.err
    assert not (tmp_path / "none.jsonl").exists(), "a file without samples was left behind"


def test_an_ended_run_is_waited_for_without_a_server(
    modiste: Any, ended: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = eval_cli.connect

    def connect(*arguments: Any, **options: Any) -> Any:
        assert not options.get("needs_engine"), "a server is started for what has ended"
        return real(*arguments, **options)

    monkeypatch.setattr(eval_cli, "connect", connect)
    result = modiste("eval", "wait", ended)
    assert (result.code, "exact.mean" in result.out) == (0, True)


def test_a_run_that_did_not_end_well_is_exit_code_1(modiste: Any, made: list[str]) -> None:
    cancelled = modiste("eval", "cancel", made[1], "--json")
    assert (cancelled.code, cancelled.json["status"]) == (0, "CANCELLED")
    assert modiste("eval", "wait", made[1]).code == 1
    gone = modiste("eval", "delete", made[1], "--json")
    assert gone.json["deleted"] is True
    missing = modiste("eval", "show", made[1])
    assert missing.code != 0
    assert "modiste eval list" in missing.err
