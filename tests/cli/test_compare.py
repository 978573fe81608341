"""Two models, the same questions."""

from typing import Any

import pytest

from modiste.cli import compare
from modiste.errors import Busy, ModisteError


class Answers:
    """A client whose base always says `Billing.` and whose tuned model echoes the question."""

    def __init__(self, *, failing: frozenset[str] = frozenset()) -> None:
        self.failing = failing

    def chat(self, body: dict[str, Any]) -> dict[str, Any]:
        question = body["messages"][-1]["content"]
        assert body["temperature"] == 0.0
        if question in self.failing:
            raise Busy("full")
        said = "Billing." if body["model"] == "base" else question
        return {"choices": [{"message": {"content": said}}]}


def rows(*expected: str) -> list[dict[str, Any]]:
    return [
        {"messages": [{"role": "user", "content": e}, {"role": "assistant", "content": e}]}
        for e in expected
    ]


def test_each_item_keeps_both_answers_in_the_order_of_the_rows() -> None:
    result = compare.compare(Answers(), rows("billing", "sales"), base="base", tuned="tuned")  # type: ignore[arg-type]
    assert [(i.expected, i.base_right, i.tuned_right) for i in result.items] == [
        ("billing", True, True),
        ("sales", False, True),
    ]


def test_a_question_without_answer_is_left_out_of_both_and_counted() -> None:
    client = Answers(failing=frozenset({"b"}))
    result = compare.compare(client, rows("a", "b", "c"), base="base", tuned="tuned")  # type: ignore[arg-type]
    assert (result.n, result.n_unscored, result.first_failure) == (2, 1, "full")
    assert "1 unscored" in compare.verdict_lines(result)[0]


def test_when_nothing_could_be_asked_the_reason_is_raised() -> None:
    with pytest.raises(ModisteError, match="full"):
        compare.compare(Answers(failing=frozenset("a")), rows("a"), base="base", tuned="t")  # type: ignore[arg-type]


def test_the_verdict_is_better_only_where_the_interval_says_so() -> None:
    many = compare.compare(Answers(), rows(*"abcdefghij" * 5), base="base", tuned="t")  # type: ignore[arg-type]
    assert compare.verdict_lines(many)[0].startswith("tuned − base = +100.0 points")
    assert compare.verdict_lines(many)[1].startswith("Verdict: better")
    few = compare.compare(Answers(), rows("a"), base="base", tuned="t")  # type: ignore[arg-type]
    assert compare.verdict_lines(few)[1].startswith("Verdict: insufficient evidence")


def test_case_spaces_and_a_full_stop_do_not_decide() -> None:
    assert compare.same(" Billing.\n", "billing")
    assert not compare.same("billing department", "billing")


def test_an_accuracy_stands_with_its_n_and_interval() -> None:
    """Wilson 38/50: 0.6259 to 0.8570 (statsmodels)."""
    line = compare.accuracy_line("tuned", [True] * 38 + [False] * 12)
    assert line == "tuned   38/50 right =  76.0%  (95 % interval 62.6% to 85.7%)"
