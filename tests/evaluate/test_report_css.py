"""The styles of evaluation pages: whatever a page names is styled, in colours of both themes."""

from __future__ import annotations

import re

from modiste.evaluate.report_css import CSS
from modiste.prepare.report_style import CSS as SHARED


def test_every_colour_is_one_of_the_shared_palette() -> None:
    used = set(re.findall(r"var\((--[\w-]+)\)", CSS))
    assert used
    assert used <= set(re.findall(r"(--[\w-]+):", SHARED))
    assert not re.findall(r"#[0-9a-fA-F]{3,6}\b", CSS)


def test_braces_are_balanced_and_nothing_is_fetched() -> None:
    assert CSS.count("{") == CSS.count("}")
    assert "url(" not in CSS
    assert "@import" not in CSS
