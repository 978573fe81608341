"""`modiste gate check`: exit codes that CI can act on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "evaluate"))
from kept_runs import folder
from scripted_runs import run, shares


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    path = tmp_path / "gate.yaml"
    path.write_text(
        "name: safety\nfloors: [{metric: exact, at_least: 0.9}]\napprovers: {names: [anna]}\n"
    )
    return path


@pytest.mark.parametrize(("right", "code"), [(198, 0), (182, 2), (150, 1)])
def test_the_exit_code_tells_pass_fail_and_not_enough_evidence(
    modiste, tmp_path: Path, gate: Path, right: int, code: int
) -> None:
    one = folder(tmp_path / "run", run("b", {"exact": shares(200, right)}))
    told = modiste("gate", "check", gate, "--run", one, "--junit", tmp_path / "j.xml")
    assert told.code == code
    assert "exact.mean at least 90 %" in told.out
    assert (tmp_path / "j.xml").exists()


def test_approval_is_looked_at_once_somebody_is_named(modiste, tmp_path: Path, gate: Path) -> None:
    one = folder(tmp_path / "run", run("b", {"exact": shares(200, 198)}))
    check = ["gate", "check", gate, "--run", one]
    assert modiste(*check, "--approved-by", "dora").code == 2
    told = modiste(*check, "--approved-by", "anna", "--json")
    assert (told.code, told.json["outcome"], told.json["approved_by"]) == (0, "pass", ["anna"])


def test_a_gate_that_is_wrong_says_everything(modiste, tmp_path: Path, gate: Path) -> None:
    one = folder(tmp_path / "run", run("b", {"exact": shares(200, 198)}))
    gate.write_text("floor: []\n")
    told = modiste("gate", "check", gate, "--run", one)
    assert told.code == 2
    assert "did you mean 'floors'" in told.err
    assert "cannot be read" in modiste("gate", "check", tmp_path / "no.yaml", "--run", one).err
