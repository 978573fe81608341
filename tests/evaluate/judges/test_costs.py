"""What a judge takes, pairs without a verdict among it."""

from __future__ import annotations

from modiste.evaluate.items import Status
from modiste.evaluate.judges.asking import Usage
from modiste.evaluate.judges.costs import costs_of
from modiste.evaluate.judges.pairs import Look, Side, verdict_of


def verdicts(pair, *usages):
    return [
        verdict_of(
            pair("x", "y", str(n)),
            [
                Look(Side.A, Status.SCORED, 0, 1, usage=usage),
                Look(Side.B, Status.PARSE_FAILED, usage=usage),
            ],
        )
        for n, usage in enumerate(usages)
    ]


def test_costs_are_of_pairs_and_latencies_of_calls(pair):
    cheap, repaired = Usage(1, 100, 20, 0.5, 30), Usage(2, 200, 40, 3.0, 60)
    found = costs_of(verdicts(pair, cheap, repaired))
    assert found.per_1000.value == 1000 * (60 + 120) / 2
    assert found.tokens.value == (240 + 480) / 2
    assert found.calls.value == 3.0
    assert found.p50_s.value == 1.0  # Calls take 0.5, 0.5, 1.5 and 1.5 s.
    assert found.p50_s.n == 4
    assert found.per_1000.ci.lo < found.per_1000.value < found.per_1000.ci.hi


def test_one_call_without_a_price_leaves_tokens_only(pair):
    found = costs_of(verdicts(pair, Usage(1, 100, 20, 0.5, 30), Usage(1, 100, 20, 0.5, None)))
    assert found.per_1000 is None
    assert found.tokens.value == 240


def test_verdicts_that_nobody_was_asked_for_cost_nothing_that_is_known(pair):
    found = costs_of(verdicts(pair, Usage(), Usage()))
    assert (found.per_1000, found.tokens, found.p50_s) == (None, None, None)
