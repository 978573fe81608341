"""Lines that a person types."""

from __future__ import annotations

from pathlib import Path

import pytest

from modiste.cli.lines import line_editing

readline = pytest.importorskip("readline")


def test_lines_are_kept_for_their_owner_alone(tmp_path: Path) -> None:
    kept = tmp_path / "history"
    with line_editing(kept):
        readline.add_history("where is my order")
    assert "where is my order" in kept.read_text()
    assert kept.stat().st_mode & 0o077 == 0


def test_a_beginning_is_completed_inside_the_block_alone(tmp_path: Path) -> None:
    before = readline.get_completer()
    with line_editing(tmp_path / "history", lambda begun: [f"{begun}one", f"{begun}two"]):
        complete = readline.get_completer()
        assert [complete("t", at) for at in range(3)] == ["tone", "ttwo", None]
    assert readline.get_completer() is before
