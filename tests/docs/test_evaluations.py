"""What docs/evaluations.md shows is run: its suite, its rows, its commands in the order shown."""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path

import pytest

from modiste.__main__ import main
from modiste.work.eval_run import MAX_FAILURES_IN_A_ROW

PAGE = (Path(__file__).parents[2] / "docs" / "evaluations.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    [found] = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return str(found)


@pytest.fixture
def folder(served: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a reader would stand, with the files of the page."""
    for name in list(os.environ):
        if name.startswith("MODISTE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MODISTE_URL", served[0])
    monkeypatch.setenv("MODISTE_API_KEY", served[1])
    monkeypatch.setenv("MODISTE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "capitals.jsonl").write_text(block("json"))
    (tmp_path / "suite.yaml").write_text(block("yaml"))
    return tmp_path


def test_the_commands_run_in_the_order_shown(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run_id = ""
    for command in block("sh").splitlines():
        words = [word.replace("RUN_ID", run_id) for word in shlex.split(command)]
        assert words[0] == "modiste"
        assert main(words[1:]) == 0, capfd.readouterr().err
        said = capfd.readouterr().out
        if words[2] == "run":
            assert said.count("includes.mean") == 2
            main(["eval", "list", "--suite", "capitals", "--json"])
            run_id = json.loads(capfd.readouterr().out)["data"][0]["id"]
    samples = [json.loads(line) for line in (folder / "samples.jsonl").open()]
    assert sorted(s["item"]["key"] for s in samples) == sorted(["fr", "jp", "pe", "ke"] * 2)
    assert {s["item"]["slices"]["continent"] for s in samples} == {
        "Europe", "Asia", "America", "Africa",
    }  # fmt: skip


def test_the_numbers_of_the_page_are_those_of_the_code() -> None:
    assert f"no answer {MAX_FAILURES_IN_A_ROW} times in a row" in PAGE
