"""`modiste sweep`: every cell is tuned and asked once, whatever interrupts it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from doubles import Server

from modiste.cli import sweep

TUNE = "model: modiste-tiny\ndata: {train: train.jsonl}\n"
SUITE = (
    "name: %s\ndataset: rows.jsonl\nprompt: '{{q}}'\nscorers: [exact]\nmodels: {m: {model: x}}\n"
)
RIGHT = {
    ("target", "modiste-tiny"): 40, ("target", "ft:1"): 200, ("target", "ft:2"): 350,
    ("general", "modiste-tiny"): 300, ("general", "ft:1"): 300, ("general", "ft:2"): 200,
    ("fresh", "modiste-tiny"): 40, ("fresh", "ft:1"): 190,
}  # fmt: skip
SWEEP = {
    "name": "rates", "tune": "tune.yaml", "grid": {"learning_rate": [1e-4, 1e-2]},
    "target": "target.yaml", "guards": ["general.yaml"], "fresh": {"target": "fresh.yaml"},
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, training_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "tune.yaml").write_text(TUNE)
    (tmp_path / "rows.jsonl").write_text('{"q": "a"}\n')
    for name in ("target", "general", "fresh"):
        (tmp_path / f"{name}.yaml").write_text(SUITE % name)
    (tmp_path / "sweep.yaml").write_text(json.dumps(SWEEP))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    found = Server(lambda suite, model: RIGHT[suite, model])
    monkeypatch.setattr(sweep, "connect", found.connected)
    return found


def test_the_cell_that_forgets_nothing_wins_and_is_confirmed(
    modiste: Any, folder: Path, server: Server
) -> None:
    told = modiste("sweep", "sweep.yaml", "--json")
    assert told.code == 0, told.err
    assert told.json["winner"] == "ft:1"
    assert [cell["allowed"] for cell in told.json["cells"]] == [True, False]
    assert told.json["confirmed"] is True
    rates = [job["hyperparameters"]["learning_rate"] for job in server.jobs.values()]
    assert rates == [1e-4, 1e-2]
    page = (folder / "rates-sweep" / "sweep.html").read_text()
    assert "Confirmed on fresh items" in page


def test_run_again_it_tunes_and_asks_nothing_twice(
    modiste: Any, folder: Path, server: Server
) -> None:
    modiste("sweep", "sweep.yaml")
    asked = (len(server.jobs), len(server.runs))
    again = modiste("sweep", "sweep.yaml", "--json")
    assert (len(server.jobs), len(server.runs)) == asked
    assert again.json["winner"] == "ft:1"


def test_a_larger_grid_goes_on_with_the_cells_that_are_there(
    modiste: Any, folder: Path, server: Server
) -> None:
    modiste("sweep", "sweep.yaml")
    RIGHT["target", "ft:3"], RIGHT["general", "ft:3"] = 100, 300
    larger = {**SWEEP, "grid": {"learning_rate": [1e-4, 1e-2, 3e-4]}}
    (folder / "sweep.yaml").write_text(json.dumps(larger))
    assert modiste("sweep", "sweep.yaml").code == 0
    assert len(server.jobs) == 3


def test_a_folder_of_another_sweep_is_refused(modiste: Any, folder: Path, server: Server) -> None:
    modiste("sweep", "sweep.yaml")
    (folder / "sweep.yaml").write_text(json.dumps({**SWEEP, "delta": 0.5}))
    told = modiste("sweep", "sweep.yaml")
    assert told.code == 2
    assert "another sweep (delta differs)" in told.err


def test_a_cell_that_fails_is_said_and_the_others_go_on(
    modiste: Any, folder: Path, server: Server
) -> None:
    server.broken = {2}
    told = modiste("sweep", "sweep.yaml")
    assert told.code == 0
    assert "learning_rate=0.01: the loss is NaN" in told.err
    assert "learning_rate=0.0001" in told.out


def test_wrong_cells_are_told_before_anything_is_asked(
    modiste: Any, folder: Path, server: Server
) -> None:
    wrong = {**SWEEP, "grid": {"learning_rate": [1e-4, -1], "epochz": [1]}}
    (folder / "sweep.yaml").write_text(json.dumps(wrong))
    told = modiste("sweep", "sweep.yaml")
    assert told.code == 2
    assert "epochz" in told.err
    assert "learning_rate=-1" in told.err
    assert not server.jobs
    assert not server.runs
