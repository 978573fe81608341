"""`modiste eval compare`, `report`, `export` on exported folders and on a server's runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from modiste import settings
from modiste.actions import keys
from modiste.store.database import Database

sys.path.insert(0, str(Path(__file__).parents[1] / "evaluate"))
from kept_runs import folder, keep
from scripted_runs import run, shares

GATE = "name: support\nprimary: {metric: exact}\n"


@pytest.fixture
def a(tmp_path: Path) -> Path:
    return folder(tmp_path / "a", run("a", {"exact": shares(200, 100)}))


@pytest.fixture
def b(tmp_path: Path) -> Path:
    return folder(tmp_path / "b", run("b", {"exact": shares(200, 140)}))


def test_two_folders_are_compared_without_a_server(modiste, home: Path, a: Path, b: Path) -> None:
    told = modiste("eval", "compare", a, b)
    assert told.code == 0
    assert "exact.mean: B − A = +20.0 pp" in told.out
    assert "better" in told.out
    assert "40/160/0" in told.out
    assert not home.exists()


def test_json_has_every_number(modiste, a: Path, b: Path) -> None:
    told = modiste("eval", "compare", a, b, "--delta", "0.02", "--json").json
    (exact,) = told["differences"]
    assert (exact["value"], exact["wins"], exact["losses"]) == (pytest.approx(0.2), 40, 0)
    assert (told["delta"], told["gate"], exact["verdict"]) == (0.02, None, "better")
    assert len(told["best"]) == 20


def test_with_a_gate_the_exit_code_is_its_outcome(
    modiste, tmp_path: Path, a: Path, b: Path
) -> None:
    gate = tmp_path / "gate.yaml"
    gate.write_text(GATE)
    reports = [tmp_path / name for name in ("junit.xml", "sum.md", "page.html")]
    flags = ["--junit", reports[0], "--markdown", reports[1], "--html", reports[2]]
    assert modiste("eval", "compare", a, b, "--gate", gate, *flags).code == 0
    assert '<testcase classname="support"' in reports[0].read_text()
    assert reports[1].read_text().startswith("## ✅ support: pass")
    assert "## b against a: better" in reports[1].read_text()
    assert "Differences" in reports[2].read_text()
    assert modiste("eval", "compare", b, a, "--gate", gate).code == 1
    assert modiste("eval", "compare", a, a, "--gate", gate).code == 2


def test_what_cannot_be_compared_says_why(modiste, tmp_path: Path, a: Path) -> None:
    other = folder(
        tmp_path / "c", run("c", {"exact": shares(9, 4)}, record={"dataset_sha256": "e" * 64})
    )
    told = modiste("eval", "compare", a, other)
    assert told.code == 2
    assert "the items differ" in told.err
    assert modiste("eval", "compare", a, a, "--junit", tmp_path / "x").code == 2
    assert "modiste eval export" in modiste("eval", "compare", tmp_path, a).err


def test_a_run_of_the_server_is_exported_reported_and_compared(
    modiste, home: Path, tmp_path: Path, a: Path
) -> None:
    database = Database(settings.load())
    database.migrate()
    with database.transaction() as tx:
        actor = keys.authenticate(tx, keys.bootstrap(tx))  # type: ignore[arg-type]
    kept = keep(database, actor, run("b", {"exact": shares(200, 140)}))
    database.close()
    assert modiste("eval", "report", kept, "--html", tmp_path / "b.html").code == 0
    assert "exact.mean" in (tmp_path / "b.html").read_text()
    assert modiste("eval", "export", kept, tmp_path / "kept").code == 0
    assert json.loads((tmp_path / "kept" / "run.json").read_text())["id"] == kept
    told = modiste("eval", "compare", a, kept, "--json").json
    again = modiste("eval", "compare", a, tmp_path / "kept", "--json").json
    assert told == again
    assert told["differences"][0]["verdict"] == "better"
