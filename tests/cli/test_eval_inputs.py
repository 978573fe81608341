"""Runs that commands are given."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from modiste.cli.eval_inputs import loaded
from modiste.errors import NotFound

sys.path.insert(0, str(Path(__file__).parents[1] / "evaluate"))
from kept_runs import folder
from scripted_runs import run, shares


def test_folders_are_read_without_asking_a_server(home: Path, tmp_path: Path) -> None:
    one = run("a", {"exact": shares(5, 2)})
    (found,) = loaded([str(folder(tmp_path / "a", one))])
    assert found.record == one.record
    assert not home.exists()


def test_what_is_no_folder_is_an_id_of_the_server(home: Path) -> None:
    with pytest.raises(NotFound):
        loaded(["nobody"])
