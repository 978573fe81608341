"""Summaries for people who look at a pull request."""

from __future__ import annotations

from scripted_runs import item, run, shares

from modiste.evaluate.comparison import compare
from modiste.evaluate.gate import check
from modiste.evaluate.gate_spec import Gate
from modiste.evaluate.markdown import gate_markdown, summary_markdown


def test_a_gate_says_its_outcome_first_and_the_evidence_of_every_condition() -> None:
    gate = Gate.model_validate(
        {"name": "support", "floors": [{"metric": "exact", "at_least": 0.9}]}
    )
    told = gate_markdown(check(gate, [run("b", {"exact": shares(200, 100)})]))
    assert told.startswith("## ❌ support: fail\n")
    assert "| ❌ | exact.mean at least 90 % | fail | exact.mean = 50 %" in told
    assert "run `evrun\\_b`" in told or "run `evrun_b`" in told


def test_a_comparison_says_its_verdict_first_then_every_figure() -> None:
    def by_topic(at: int):  # type: ignore[no-untyped-def]
        return item(at, slices={"topic": "a|b" if at % 2 else "c"})

    a = run("a", {"exact": shares(200, 100)}, items=by_topic)
    b = run("b", {"exact": shares(200, 150)}, items=by_topic)
    told = summary_markdown(compare(a, b))
    assert told.startswith("## b against a: better\n")
    assert "| exact.mean | 50.0 % | 75.0 % | 50/150/0 | better | B − A = +25.0 pp" in told
    assert "topic = a\\|b" in told
    assert "| latency | 0.5 s | 0.5 s |" in told
    widths = {
        line.count("|") - line.count("\\|") for line in told.splitlines() if line.startswith("|")
    }
    assert widths == {7}


def test_items_of_one_side_are_told_in_the_notes() -> None:
    told = summary_markdown(
        compare(run("a", {"exact": shares(60, 30)}), run("b", {"exact": shares(50, 30)}))
    )
    assert "- 10 items are in A alone and left out, item-00050 first" in told
