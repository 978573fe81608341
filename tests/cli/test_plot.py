"""A curve in braille."""

from modiste.cli import plot


def test_a_falling_line_starts_top_left_and_ends_bottom_right() -> None:
    lines = plot.log_curve([(1, 4.0), (100, 0.5)], width=20, height=4)
    bodies = [line.split("┤")[1] for line in lines[:4]]
    assert lines[0].startswith("  4 ┤")
    assert lines[3].startswith("0.5 ┤")
    assert bodies[0][0] != "\u2800"
    assert bodies[0][-1] == "\u2800"
    assert bodies[3][-1] != "\u2800"
    assert lines[-1].split() == ["1", "100"]


def test_a_constant_is_a_line_in_the_middle() -> None:
    lines = plot.log_curve([(0, 1.0), (10, 1.0)], width=10, height=4)
    drawn = [set(line.split("┤")[1]) != {"\u2800"} for line in lines[:4]]
    assert drawn.count(True) == 1


def test_one_point_is_no_curve_and_zero_has_no_logarithm() -> None:
    assert plot.log_curve([(1, 1.0), (2, 0.0)]) == []


def test_equal_ratios_are_equal_heights() -> None:
    lines = plot.log_curve([(1, 100.0), (2, 10.0), (3, 1.0)], width=9, height=5)
    labels = [line.split("┤")[0].strip() for line in lines[:5]]
    assert labels == ["1e+02", "", "10", "", "1"]
    assert lines[2].split("┤")[1][4] != "\u2800"


def test_smoothing_is_the_mean_of_what_came_before() -> None:
    assert plot.smoothed([4.0, 2.0, 0.0], window=2) == [4.0, 3.0, 1.0]
