"""The style sheet asks for nothing from anywhere and knows light and dark."""

from __future__ import annotations

import re

from modiste.prepare.report_style import CSS


def test_no_style_is_fetched():
    assert "url(" not in CSS
    assert "@import" not in CSS
    assert "</style" not in CSS


def test_every_colour_is_defined_for_light_and_dark():
    light, dark = CSS.split("@media (prefers-color-scheme: dark)", 1)
    used = set(re.findall(r"var\((--[\w-]+)\)", CSS))

    assert used <= set(re.findall(r"(--[\w-]+):", light))
    assert used <= set(re.findall(r"(--[\w-]+):", dark.split("}", 1)[0]))
