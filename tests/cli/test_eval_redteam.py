"""`modiste eval redteam` as far as it asks nobody; whole runs are in docs/red-team.md."""

from __future__ import annotations

from pathlib import Path

import yaml
from typer.testing import CliRunner

from modiste.cli.eval import app
from modiste.errors import Conflict, InvalidInput
from modiste.evaluate.suite import Suite


def test_suites_are_written_once_and_never_over_others(tmp_path: Path) -> None:
    team = tmp_path / "team.yaml"
    said = {"name": "t", "models": {"raw": {"model": "m", "policies": []}}}
    team.write_text(yaml.safe_dump(said))
    asked = ["redteam", str(team), "--only-write"]
    for _ in range(2):
        told = CliRunner().invoke(app, asked)
        assert told.exit_code == 0, told.output
    folder = tmp_path / "team"
    assert told.output.split() == [str(folder / f"t.{part}.yaml") for part in ("attacks", "twins")]
    suite = Suite.model_validate(yaml.safe_load((folder / "t.attacks.yaml").read_text()))
    assert suite.models["raw"].policies == ()
    assert len((folder / "t.attacks.jsonl").read_text().splitlines()) == 78
    team.write_text(yaml.safe_dump({**said, "techniques": ["direct"]}))
    assert isinstance(CliRunner().invoke(app, asked).exception, Conflict)


def test_what_is_wrong_is_said_before_anything_is_written(tmp_path: Path) -> None:
    team = tmp_path / "team.yaml"
    team.write_text("name: t\nmodels: {raw: {model: m}}\ntechnics: [direct]\n")
    told = CliRunner().invoke(app, ["redteam", str(team), "--only-write"])
    assert isinstance(told.exception, InvalidInput)
    assert "techniques" in str(told.exception)
    assert not (tmp_path / "team").exists()
