"""A comparison's page: the verdict, every difference, and where the two differ most."""

from __future__ import annotations

import re

from pages import SCRIPT, checked
from scripted_runs import item, run, run_of, sample

from modiste.evaluate.comparison import Comparison, compare
from modiste.evaluate.report_comparison import comparison_page


def made() -> Comparison:
    def topic(at: int):  # type: ignore[no-untyped-def]
        return item(at, slices={"topic": SCRIPT if at % 2 else "tax"})

    a = run("a", {"exact": [0.0, 1.0] * 100, "rouge": [0.5] * 200}, items=topic, text="It is red.")
    b = run(
        "b", {"exact": [1.0, 1.0, 0.0, 1.0] * 50, "rouge": [0.5] * 200}, items=topic,
        text=f"It is blue {SCRIPT}.", record={"prompt_sha256": "q" * 64},
    )  # fmt: skip
    return compare(a, b)


def test_the_verdict_and_its_sentence_stand_first_and_the_page_is_whole() -> None:
    page = comparison_page(made())
    checked(page)
    assert "<script" not in page
    head = page[: page.index("<h2>Differences</h2>")]
    assert '<span class="pill good">better</span>' in head
    assert "B − A = +25.0 pp" in head
    assert "the prompts differ" in head


def test_every_difference_is_drawn_with_its_wins_and_sentence() -> None:
    page = comparison_page(made())
    n_rows = 2 + 2 + 3  # metrics, slices, expenses
    assert page.count('class="interval ') == n_rows
    assert "50 won, 150 tied, 0 lost" in page
    assert "MDE" in page


def test_what_changed_in_the_words_is_marked_on_both_sides() -> None:
    page = comparison_page(made())
    assert "<del>red</del>" in page
    assert "<ins>blue" in page
    assert len(re.findall(r"0\.0 % → 100\.0 %", page)) == 20
    assert "On no item." in page


def test_answers_too_long_to_mark_or_missing_stand_as_they_are() -> None:
    from modiste.evaluate.items import Failure

    def one(name: str, value: float, text: str, failure: Failure | None = None):  # type: ignore[no-untyped-def]
        samples = [
            sample(item(at), {"exact": value if at else 1 - value}, text=text, failure=failure)
            for at in range(60)
        ]
        return run_of(name, samples, ["exact"])

    long = comparison_page(compare(one("a", 0, "word " * 900), one("b", 1, "other " * 900)))
    checked(long)
    assert "<ins>" not in long
    broken = comparison_page(
        compare(one("a", 0, "", Failure("timeout", "late")), one("b", 1, "there"))
    )
    assert "A: none" in broken
