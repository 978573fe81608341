"""`modiste data safety-mix` on local files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from modiste.cli.data import app
from modiste.errors import InvalidInput
from modiste.evaluate.suite import Suite
from modiste.prepare.curate.stage import report_path

ROW = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}


def test_rows_of_a_taxonomy_are_added_with_suites_that_measure_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("app.jsonl").write_text(json.dumps(ROW) + "\n")
    flags = ["--generate", "mistral-moderation/2603", "--generated", "11", "--suites", "suites"]
    told = CliRunner().invoke(app, ["safety-mix", "app.jsonl", "-o", "mix.jsonl", *flags])
    assert told.exit_code == 0, told.output
    lines = Path("mix.jsonl").read_text().splitlines()
    assert (len(lines), json.loads(lines[0])) == (12, ROW)
    report = json.loads(report_path(Path("mix.jsonl")).read_text())
    assert report["settings"]["source"] == "mistral-moderation/2603"
    for name, n in (("violations", 33), ("over-refusal", 33)):
        suite = yaml.safe_load(Path(f"suites/{name}.yaml").read_text())
        assert Suite.model_validate(suite).name == f"safety.{name}"
        assert len(Path(f"suites/{name}.jsonl").read_text().splitlines()) == n


def test_flags_that_need_each_other_say_so(tmp_path: Path) -> None:
    for flags in (["--generated", "5"], ["--amount", "5"], ["--suites", "s"]):
        told = CliRunner().invoke(app, ["safety-mix", "app.jsonl", "-o", "mix.jsonl", *flags])
        assert isinstance(told.exception, InvalidInput)
