"""Formulas over named numbers."""

import pytest

from modiste.evaluate.scorers.arithmetic import Formula


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.7 * a + 0.3 * b", 0.7 * 2 + 0.3 * 4),
        ("-(a - b) ** 2", -4),
        ("min(a, b, 1) + max(0, a) / 4", 1.5),
        ("sqrt(b) + floor(2.7) + abs(-1)", 5),
        ("7 // 2 % 2", 1),
    ],
)
def test_arithmetic_is_computed(text: str, value: float) -> None:
    formula = Formula(text)
    assert formula.value({"a": 2, "b": 4}) == pytest.approx(value)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')", "a.b", "a[0]", "lambda: 1", "[1]", "'a'",
        "a if b else c", "a < b", "True", "open(a)", "f(x=1)", "1;2", "", "9" * 3000,
    ],
)  # fmt: skip
def test_what_is_no_arithmetic_is_refused_when_it_is_read(text: str) -> None:
    with pytest.raises(ValueError, match=r"formula|arithmetic|function"):
        Formula(text)


@pytest.mark.parametrize(
    "text", ["1 / 0", "9 ** 9 ** 9", "(0 - 1) ** 0.5", "x", "exp(1000)", "sqrt(-1)"]
)
def test_what_has_no_value_is_an_error_and_never_takes_long(text: str) -> None:
    with pytest.raises(ValueError, match=r"fails|computed|number|math"):
        Formula(text).value({"a": 1})


def test_names_are_told() -> None:
    assert Formula("a * min(b, 2) + a").names == {"a", "b"}
