"""docs/exporting.md names every form and command there is."""

from __future__ import annotations

from pathlib import Path

from modiste.cli import models_export
from modiste.nn.export import Form
from modiste.nn.gguf_file import NUMBERS

TEXT = (Path(__file__).parents[2] / "docs" / "exporting.md").read_text(encoding="utf-8")


def test_every_form_has_its_row() -> None:
    for form in Form:
        assert f"| `{form}` |" in TEXT
        assert str(form) in models_export.FORMS
    assert "\\|".join(NUMBERS) in TEXT


def test_every_command_is_told() -> None:
    for command in ("export", "card", "extend-vocab"):
        assert f"modiste models {command}" in TEXT
