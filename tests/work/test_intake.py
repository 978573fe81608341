"""Files are looked into in this process or in a child, with the same answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modiste.actions.file_checks import Examined, Refused, examine
from modiste.errors import ModisteError
from modiste.settings import Settings
from modiste.work import intake
from modiste.work.intake import Intake
from modiste.work.supervisor import environment

ROW = {"messages": [{"role": "user", "content": "a?"}, {"role": "assistant", "content": "b."}]}


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Intake:
    """Every file goes to a child."""
    monkeypatch.setattr(intake, "IN_PROCESS_BYTES", -1)
    return Intake(environment(Settings(home=tmp_path / "home")))


def test_a_child_says_what_this_process_would_say(elsewhere: Intake, tmp_path: Path) -> None:
    path = tmp_path / "upload"
    path.write_text(json.dumps(ROW) + "\n" + json.dumps({"messages": []}) + "\n")
    found = elsewhere.examine(path, "a.jsonl")
    assert isinstance(found, Examined)
    assert found == examine(path, "a.jsonl")
    assert found.n_rows == 2
    assert [p.name for p in tmp_path.iterdir()] == ["upload"], "nothing is left behind"


def test_a_child_refuses_what_cannot_be_read_with_all_its_lines(
    elsewhere: Intake, tmp_path: Path
) -> None:
    path = tmp_path / "upload"
    path.write_text('{\n{"text": "x"}\nnonsense\n')
    found = elsewhere.examine(path, "a.jsonl")
    assert isinstance(found, Refused)
    assert found == examine(path, "a.jsonl")
    assert [problem.line for problem in found.problems] == [1, 3]


def test_a_child_that_dies_is_an_error_with_its_last_words(
    elsewhere: Intake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "REQUEST", "somewhere-else")
    path = tmp_path / "upload"
    path.write_text("{}\n")
    with pytest.raises(ModisteError, match="could not be checked, nothing was stored") as told:
        elsewhere.examine(path, "a.jsonl")
    assert "FileNotFoundError" in told.value.message
    assert [p.name for p in tmp_path.iterdir()] == ["upload"]
