"""Ask two models the same questions and say which answers better, and how sure that is.

Answers are compared with the expected one after trimming, lower-casing and dropping a final full
stop. A question that either model could not answer is left out of both and counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

from modiste.client import Client
from modiste.errors import ModisteError
from modiste.evaluate.stats.estimates import wilson
from modiste.evaluate.stats.paired import PairedDifference, paired_difference
from modiste.evaluate.verdict import Verdict, decide

AT_ONCE = 16
MAX_TOKENS = 24

Row = Mapping[str, Any]


class Item(NamedTuple):
    question: str
    expected: str
    base: str
    tuned: str

    @property
    def base_right(self) -> bool:
        return same(self.base, self.expected)

    @property
    def tuned_right(self) -> bool:
        return same(self.tuned, self.expected)


@dataclass(frozen=True)
class Comparison:
    items: tuple[Item, ...]
    n_unscored: int
    first_failure: str | None

    @property
    def n(self) -> int:
        return len(self.items)

    @property
    def difference(self) -> PairedDifference:
        """Tuned minus base."""
        return paired_difference(
            [item.tuned_right for item in self.items], [item.base_right for item in self.items]
        )


def compare(client: Client, rows: Sequence[Row], *, base: str, tuned: str) -> Comparison:
    """Each row is a chat whose last message is the expected answer; temperature 0.

    Raises:
        ModisteError: no question could be answered by both.
    """
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = {
            model: pool.map(lambda row, model=model: _answer(client, model, row), rows)
            for model in (base, tuned)
        }
        asked = list(zip(rows, answers[base], answers[tuned], strict=True))
    failures = [a for _, *pair in asked for a in pair if isinstance(a, ModisteError)]
    items = tuple(
        Item(question_of(row), str(row["messages"][-1]["content"]), by_base, by_tuned)
        for row, by_base, by_tuned in asked
        if isinstance(by_base, str) and isinstance(by_tuned, str)
    )
    if not items:
        raise failures[0]
    first = failures[0].message if failures else None
    return Comparison(items, len(asked) - len(items), first)


def _answer(client: Client, model: str, row: Row) -> str | ModisteError:
    """What the model says, or why it does not: one failure must not end the comparison."""
    body = {
        "model": model,
        "messages": row["messages"][:-1],
        "temperature": 0.0,
        "max_tokens": MAX_TOKENS,
    }
    try:
        return str(client.chat(body)["choices"][0]["message"]["content"])
    except ModisteError as error:
        return error


def question_of(row: Row) -> str:
    return str(next(m["content"] for m in reversed(row["messages"]) if m["role"] == "user"))


def same(answer: str, expected: str) -> bool:
    def plain(text: str) -> str:
        return text.strip().rstrip(".").strip().lower()

    return plain(answer) == plain(expected)


def accuracy_line(name: str, right: Sequence[bool]) -> str:
    """`base    3/80 right =   3.8 %  (95 % interval 1.3 … 10.5)`."""
    k, n = sum(right), len(right)
    ci = wilson(k, n)
    return f"{name:<6} {k:>3}/{n} right = {k / n:6.1%}  (95 % interval {ci.lo:.1%} to {ci.hi:.1%})"


def verdict_lines(comparison: Comparison) -> list[str]:
    """The difference with its interval, and what it allows to say."""
    difference = comparison.difference
    decision = decide(difference)
    low, high = difference.ci.lo, difference.ci.hi
    unscored = f", {comparison.n_unscored} unscored" if comparison.n_unscored else ""
    line = (
        f"tuned − base = {100 * difference.value:+.1f} points  (95 % interval "
        f"{100 * low:+.1f} to {100 * high:+.1f}, paired, n = {difference.n}{unscored})"
    )
    if decision.verdict is Verdict.BETTER:
        said = "The tuned model answers this task better than its base."
    elif decision.verdict is Verdict.WORSE:
        said = "The base answers this task better than the tuned model."
    else:
        more = f"about {decision.more_items} more" if decision.more_items else "more of them"
        said = f"{difference.n} questions do not show which model is better; ask {more}."
    return [line, f"Verdict: {decision.verdict}. {said}"]
