"""A suite on this machine becomes one that a server can read."""

from pathlib import Path

import pytest

from modiste.cli.suite_file import suite_in
from modiste.errors import InvalidInput, NotFound


def test_the_code_of_a_scorer_travels_with_the_suite(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def score(item, answer): return 1\n")
    suite = tmp_path / "suite.yaml"
    suite.write_text(
        "dataset: rows.jsonl\nscorers:\n  - exact\n  - {kind: python, path: mine.py}\n"
    )
    found = suite_in(suite)
    assert found["dataset"] == {"path": "rows.jsonl"}
    assert found["scorers"] == [
        "exact",
        {"kind": "python", "source": "def score(item, answer): return 1\n"},
    ]


def test_code_that_is_not_there_is_told_with_the_folder(tmp_path: Path) -> None:
    suite = tmp_path / "suite.yaml"
    suite.write_text("scorers: [{kind: python, path: a.py}, {kind: python, path: b.py}]")
    with pytest.raises(NotFound, match=r"a\.py, b\.py \(looked in"):
        suite_in(suite)


def test_what_is_no_suite_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        suite_in(tmp_path / "none.yaml")
    (tmp_path / "list.yaml").write_text("[1]")
    with pytest.raises(InvalidInput, match="list"):
        suite_in(tmp_path / "list.yaml")
