"""The examples on public data: their files are what commands take, their rows are disjoint."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from modiste.evaluate.dataset import items_in
from modiste.evaluate.planned import planned
from modiste.evaluate.suite import Suite
from modiste.evaluate.sweep import SweepSpec, cells
from modiste.prepare.checked import checked
from modiste.tune import config

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
FOLDERS = sorted(path.parent.name for path in EXAMPLES.glob("*/suite.yaml"))
DATA = Path(os.environ.get("MODISTE_DATA", Path(__file__).parents[3] / "shared" / "data"))


@pytest.fixture(scope="module")
def prepare() -> ModuleType:
    found = importlib.util.spec_from_file_location("prepare", EXAMPLES / "prepare.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_every_task_has_a_folder_with_a_tuning_and_a_suite(prepare: ModuleType) -> None:
    assert sorted(prepare.TASKS) == FOLDERS
    for name in FOLDERS:
        assert (EXAMPLES / name / "tune.yaml").is_file()


def test_a_sweeps_files_are_what_it_takes(prepare: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text("{}\n")
    for name in prepare.SWEPT:
        folder = EXAMPLES / name
        sweep = checked(SweepSpec, yaml.safe_load((folder / "sweep.yaml").read_text()), file="s")
        assert sweep.fresh is not None
        suites = [sweep.target, *sweep.guards, sweep.fresh.target, *sweep.fresh.guards]
        asked = [
            checked(Suite, yaml.safe_load((folder / suite).read_text()), file=suite).dataset.path
            for suite in suites
        ]
        assert asked == ["eval-1.jsonl", "general-1.jsonl", "eval-2.jsonl", "general-2.jsonl"]
        told = yaml.safe_load((folder / sweep.tune).read_text())
        for cell in cells(sweep.grid):
            (tmp_path / "tune.yaml").write_text(yaml.safe_dump({**told, **cell.values}))
            assert config.load(tmp_path / "tune.yaml").spec.model == "modiste-tiny"


@pytest.mark.skipif(not DATA.is_dir(), reason=f"the public data is not at {DATA}")
def test_the_halves_of_a_sweep_share_no_row(prepare: ModuleType) -> None:
    (name,) = prepare.SWEPT
    made = {file: list(rows) for file, rows in prepare.files(name, DATA) if file != "train"}
    assert sorted(made) == ["eval", "eval-1", "eval-2", "general-1", "general-2"]
    assert len(made["eval-1"]) + len(made["eval-2"]) == len(made["eval"]) == 700
    first, second = ({row["begin"] for row in made[f"general-{n}"]} for n in (1, 2))
    assert first
    assert second
    assert not first & second


@pytest.mark.parametrize("name", FOLDERS)
def test_the_tuning_is_one(name: str, tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text("{}\n")
    (tmp_path / "tune.yaml").write_text((EXAMPLES / name / "tune.yaml").read_text())
    assert config.load(tmp_path / "tune.yaml").spec.model == "modiste-tiny"


@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.skipif(not DATA.is_dir(), reason=f"the public data is not at {DATA}")
def test_the_suite_asks_every_row_and_no_row_that_is_trained(
    name: str, prepare: ModuleType, tmp_path: Path
) -> None:
    train, asked = prepare.TASKS[name](DATA)
    rows = list(asked)
    (tmp_path / "eval.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    written = yaml.safe_load((EXAMPLES / name / "suite.yaml").read_text())
    limit = written["dataset"].get("limit")
    written["dataset"] = {**written["dataset"], "path": None, "file_id": "rows"}
    for subject in written["models"].values():
        if "shots" in subject:
            subject["shots"] = {**subject["shots"], "path": None, "file_id": "rows"}
    suite = checked(Suite, written, file="suite.yaml")
    files = {"rows": tmp_path / "eval.jsonl"}
    for subject in suite.models:
        plan = planned(suite, subject, files, {"rows": "eval.jsonl"})
        assert len(plan.items) == min(limit or len(rows), len(rows))
    everything = items_in(files["rows"], suite.dataset.model_copy(update={"limit": None}), name="e")
    questions = {plan.asking.prompt(item, 0).messages[-1].content for item in everything}
    trained = {row["messages"][0]["content"] for row in train}
    assert len(questions & trained) <= len(questions) // 100
