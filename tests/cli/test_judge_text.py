"""Cards as people read them."""

from __future__ import annotations

import pytest

from modiste.cli.judge_text import estimate, print_levels
from modiste.evaluate.judges.ratings import Level
from modiste.evaluate.stats.estimates import mean_estimate


def test_a_figure_is_shown_with_its_interval_and_nothing_as_a_dash():
    assert estimate(mean_estimate([1.0] * 38 + [0.0] * 12)) == "0.760 [0.626, 0.857]"
    assert estimate(None) == "–"


def test_levels_are_named_and_groups_left_out_are_told(capsys: pytest.CaptureFixture[str]):
    figure = mean_estimate([1.0, 0.0])
    print_levels(
        [
            Level("pooled", figure, figure, None, n=1234),
            Level("by group", figure, figure, figure, n=10, n_left_out=3),
        ]
    )
    said = capsys.readouterr()
    assert "1,234" in said.out
    assert "by group: 3 left out" in said.err
