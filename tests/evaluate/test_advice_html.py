"""The page of an advice: every way with quality and costs, and the one that is enough."""

from __future__ import annotations

from scripted_runs import run, shares

from modiste.evaluate.advice import Prices, Way, advise
from modiste.evaluate.advice_html import advice_page, cost_shown

N = 300


def test_the_page_holds_every_way_and_the_recommendation() -> None:
    right = {"base": 60, "prompted": 120, "tuned": 270}
    runs = {n: run(n, {"exact": shares(N, k)}, cost_micro=None) for n, k in right.items()}
    ways = {"base": Way.BASE, "prompted": Way.PROMPTED, "tuned": Way.TUNED}
    found = advise(runs, ways, prices=Prices(hour_micro=3_600_000), delta=0.02)
    page = advice_page(found)
    for words in ("tuned model: tuned", "system prompt: prompted", "is better than every way"):
        assert words in page
    assert "<script" not in page
    # 300 answers in 300 s of a machine that costs 1,000 micro-units a second.
    assert cost_shown(found.options[0], found) == "1 USD"
    assert "1 USD" in page


def test_what_has_no_price_is_not_known() -> None:
    runs = {n: run(n, {"exact": shares(N, 9)}, cost_micro=None) for n in ("base", "prompted")}
    ways = {"base": Way.BASE, "prompted": Way.PROMPTED}
    page = advice_page(advise(runs, ways, prices=Prices(), delta=0.02))
    assert page.count("not known") == 2
    assert "no price here" in page
