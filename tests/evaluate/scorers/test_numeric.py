"""Numbers in answers."""

import pytest

from modiste.evaluate.items import Status
from modiste.evaluate.scorers.numeric import read_numbers


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1,234.5 and −3", [1234.5, -3]),
        ("between 3 and 400", [3, 400]),
        ("12\u202f345 CHF, 1'000", [12345, 1000]),
        (".5 or 2e-3", [0.5, 0.002]),
        ("in Q4 of 2020-2021", [2020, 2021]),
        ("costs $5.", [5]),
        ("1,2,3", [1, 2, 3]),
        ("version 1.2.3", [1.2]),
        ("none", []),
    ],
)
def test_numbers_are_read_as_people_write_them(text: str, numbers: list[float]) -> None:
    assert read_numbers(text) == numbers


def test_a_comma_may_stand_before_decimals() -> None:
    assert read_numbers("1.234,5 €", decimal=",") == [1234.5]


def test_the_last_number_counts_within_the_tolerance(bench) -> None:
    one_percent = bench("numeric", rel=0.01)
    assert one_percent.score("3 + 4 makes about 101", "100").value == 1
    off = one_percent.score("about 102", 100)
    assert (off.value, off.label, off.reason) == (0, "102", "off by 2")
    assert bench("numeric").score("#### 72", "72").value == 1
    assert bench("numeric", abs=0.5).score("72.4", 72).value == 1


def test_a_pattern_says_where_the_number_stands(bench) -> None:
    total = bench("numeric", pattern=r"total: ([\d.]+)")
    assert total.score("total: 7.5 (of 9)", 7.5).value == 1
    assert total.score("about 7.5", 7.5).value == 0


def test_no_number_is_wrong_and_counted_and_a_bad_reference_is_not_the_models_fault(bench) -> None:
    numeric = bench("numeric")
    samples = numeric.samples([("many", 7), ("7", 7), ("8", "seven")])
    assert [s.scores["numeric"].value for s in samples] == [0, 1, None]
    mean = numeric.metrics(samples)["mean"]
    assert mean.notes == ("1 answers hold no number and count as wrong",)
    assert (mean.estimate.n, mean.n_unscored) == (2, 1)
    assert numeric.score("8", "seven").status is Status.ERROR
