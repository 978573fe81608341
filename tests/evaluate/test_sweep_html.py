"""The page of a sweep: gain against loss, the grid, every comparison, and who was chosen."""

from __future__ import annotations

import pytest
from scripted_runs import run, shares

from modiste.evaluate.comparison import compare
from modiste.evaluate.sweep import Cell, Measured, SweepSpec, select
from modiste.evaluate.sweep_html import sweep_page, worst_guard

N = 400


def measured(rate: int, target: int, guard: int) -> Measured:
    def against(base_right: int, right: int) -> object:
        base = run("base", {"exact": shares(N, base_right)})
        return compare(base, run("cell", {"exact": shares(N, right)}))

    guards = {"general": against(300, guard)}
    return Measured(Cell({"learning_rate": rate}), f"ft:{rate}", against(40, target), guards)


def test_the_page_shows_every_cell_the_winner_and_what_was_lost() -> None:
    spec = SweepSpec(
        name="lr", tune="t.yaml", grid={"learning_rate": (1, 2)}, target="a.yaml",
        guards=("general",),
    )  # fmt: skip
    found = select([measured(1, 200, 300), measured(2, 350, 200)], delta=0.02)
    page = sweep_page(spec, found, (True, "Confirmed on fresh items: <b>."))
    assert page.count("<circle") == 2
    assert 'class="won"' in page
    assert 'class="lost"' in page
    assert "&lt;b&gt;" in page
    assert "<script" not in page
    assert worst_guard(found.rows[1]) == pytest.approx(-0.25)
