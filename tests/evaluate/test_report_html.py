"""A run's page: it needs nothing but itself, closes what it opens, and shows what matters."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from pages import SCRIPT, checked
from scripted_runs import item, run, run_of, sample, shares

from modiste.evaluate.items import Status, scored, unscored
from modiste.evaluate.record import Run
from modiste.evaluate.report_html import run_page


@pytest.fixture(scope="module")
def hostile() -> Run:
    """Everything that others wrote is markup."""
    samples = [
        sample(
            item(
                at,
                slices={"topic": SCRIPT if at % 2 else "tax"},
                row={"question": f"{SCRIPT} {at}"},
                reference=SCRIPT,
            ),
            {
                "exact": scored(at / 80, label=SCRIPT, reason=SCRIPT, said=SCRIPT),
                "judge": unscored(Status.PARSE_FAILED, SCRIPT, reply=SCRIPT) if at < 5 else 1.0,
            },
            text=f"{SCRIPT} answer {at}",
        )
        for at in range(80)
    ]
    made = run_of("b", samples, ["exact", "judge"], record={"suite": SCRIPT})
    table = {"labels": [SCRIPT, "no"], "confusion": [[5, 2, 1], [0, 9, 0]]}
    first = replace(made.metrics[0], notes=("always answering 'no' scores 92.0 %",), table=table)
    return replace(made, metrics=[first, *made.metrics[1:]])


def test_nothing_that_others_wrote_is_markup_and_the_page_is_whole(hostile: Run) -> None:
    page = run_page(hostile)
    checked(page)
    assert "<script" not in page
    assert page.count("&lt;script&gt;") > 100


def test_the_page_shows_figures_slices_confusions_and_the_baseline(hostile: Run) -> None:
    page = run_page(hostile)
    for part in ("exact.mean", "Slices", "Confusions of exact", "scores 92.0 %", "(none)"):
        assert part in page
    assert page.count('class="interval ') == 4


def test_unscored_attempts_are_told_above_all_figures(hostile: Run) -> None:
    page = run_page(hostile)
    banner = page.index("5 of 80 attempts have no score of judge (5 parse failed)")
    assert banner < page.index("<h2>Figures</h2>")
    assert "no gate counts them as passed" in page


def test_the_worst_items_come_first_and_only_fifty_are_shown(hostile: Run) -> None:
    page = run_page(hostile)
    worst = page[page.index("Worst answers") : page.index("Without a score")]
    found = [int(n) for n in re.findall(r"answer (\d+)</div>", worst)]
    assert found == list(range(50))


def test_a_large_run_makes_a_small_page() -> None:
    long = "lorem ipsum " * 2_000
    page = run_page(run("a", {"exact": shares(1_000, 200)}, text=long))
    checked(page)
    assert len(page) < 1_000_000


def test_a_run_without_any_score_has_a_page_that_says_so() -> None:
    empty = run("a", {"exact": [None] * 5})
    page = run_page(empty)
    checked(page)
    assert "nothing was scored" in page


def test_answers_that_are_all_right_have_no_worst_and_all_wrong_are_all_shown() -> None:
    page = run_page(run("a", {"exact": shares(20, 20)}))
    checked(page)
    assert "all have the full score" in page
    assert run_page(run("a", {"exact": shares(20, 0)})).count("Question ") >= 20


def test_many_labels_become_a_list_of_the_commonest_confusions() -> None:
    made = run("a", {"intent": shares(20, 10)})
    n = 50
    counts = [[0] * (n + 1) for _ in range(n)]
    counts[3][7], counts[1][2] = 12, 4
    table = {"labels": [f"l{at}" for at in range(n)], "confusion": counts}
    page = run_page(replace(made, metrics=[replace(made.metrics[0], table=table)]))
    checked(page)
    assert page.index(">l3</td><td>l7<") < page.index(">l1</td><td>l2<")
