"""The best cell that forgets nothing wins, and is asked again on items that chose nothing."""

from __future__ import annotations

import pytest
from scripted_runs import run, shares

from modiste.errors import InvalidInput
from modiste.evaluate.comparison import Comparison, compare
from modiste.evaluate.sweep import Cell, Measured, SweepSpec, cells, confirmed, select
from modiste.prepare.checked import checked

N = 400


def against(base_right: int, cell_right: int, *, n: int = N) -> Comparison:
    return compare(
        run("base", {"exact": shares(n, base_right)}), run("cell", {"exact": shares(n, cell_right)})
    )


def measured(lr: float, target: int, guard: int, *, n_guard: int = N) -> Measured:
    """A cell with so many right on the target (the base has 40) and on the guard (base: 300)."""
    guards = {"general": against(300, guard, n=n_guard)}
    return Measured(Cell({"learning_rate": lr}), f"ft:{lr}", against(40, target), guards)


def test_a_grid_is_every_combination_with_the_last_field_fastest() -> None:
    names = [cell.name for cell in cells({"learning_rate": (1, 2), "max_steps": (10, 20)})]
    assert names == [
        "learning_rate=1, max_steps=10",
        "learning_rate=1, max_steps=20",
        "learning_rate=2, max_steps=10",
        "learning_rate=2, max_steps=20",
    ]


def test_the_best_cell_that_keeps_the_guard_wins_over_a_better_one_that_forgets() -> None:
    gentle, forgetting = measured(1e-4, 200, 300), measured(1e-2, 350, 200)
    found = select([gentle, forgetting], delta=0.02)
    assert found.winner is not None
    assert found.winner.measured is gentle
    assert not found.rows[1].allowed
    assert "learning_rate=0.01 is higher on the target" in found.why


def test_among_cells_that_keep_the_guard_the_higher_target_wins() -> None:
    found = select([measured(1, 200, 300), measured(2, 260, 300)], delta=0.02)
    assert found.winner is not None
    assert found.winner.measured.cell.name == "learning_rate=2"
    assert "higher on the target" not in found.why


def test_a_guard_that_is_too_small_to_prove_anything_lets_nobody_win() -> None:
    tiny = Measured(
        Cell({"learning_rate": 1}), "ft:1", against(40, 200), {"general": against(5, 5, n=10)}
    )
    found = select([tiny], delta=0.02)
    assert found.winner is None
    assert "give guards more items" in found.why


def test_many_cells_make_each_guard_harder_to_pass() -> None:
    alone = select([measured(1, 200, 297)], delta=0.02).rows[0].guards[0].p
    among = select([measured(lr, 200, 297) for lr in range(1, 9)], delta=0.02).rows[0].guards[0].p
    assert among == pytest.approx(8 * alone)


def test_without_guards_every_cell_is_allowed() -> None:
    only = Measured(Cell({"epochs": 1}), "ft:1", against(40, 60), {})
    assert select([only], delta=0.02).winner is not None


def test_nothing_measured_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no cell"):
        select([], delta=0.02)


def test_a_winner_that_holds_on_fresh_items_is_confirmed_and_one_that_does_not_is_not() -> None:
    found = select([measured(1, 200, 300)], delta=0.02)
    good, said = confirmed(found, measured(1, 190, 300), delta=0.02)
    assert (good, said.startswith("Confirmed on fresh items")) == (True, True)
    good, said = confirmed(found, measured(1, 41, 300), delta=0.02)
    assert (good, said.startswith("Not confirmed")) == (False, True)
    good, said = confirmed(found, measured(1, 190, 150), delta=0.02)
    assert not good
    assert "may have forgotten too much (general)" in said


def test_a_grid_that_is_too_large_or_empty_is_refused_with_its_field() -> None:
    asked = {"name": "s", "tune": "t.yaml", "target": "a.yaml"}
    with pytest.raises(InvalidInput, match=r"grid\.epochs has no values"):
        checked(SweepSpec, {**asked, "grid": {"epochs": []}}, file="sweep.yaml")
    grid = {"epochs": list(range(9)), "seed": list(range(9))}
    with pytest.raises(InvalidInput, match="81 cells, at most 64"):
        checked(SweepSpec, {**asked, "grid": grid}, file="sweep.yaml")
