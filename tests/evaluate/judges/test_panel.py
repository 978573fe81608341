"""Several judges on the same pairs: majority or mean, each one's own figures, silence told."""

from __future__ import annotations

import asyncio

import pytest

from modiste.errors import InvalidInput
from modiste.evaluate.items import Failure, Status
from modiste.evaluate.judges.judge import judge_pairs
from modiste.evaluate.judges.pairs import VERDICTS, Outcome
from modiste.evaluate.judges.panel import few_families
from modiste.evaluate.judges.specs import parse_judge
from modiste.evaluate.judges.summary import SUMMARIES, summary_of


class Bench:
    """Each model a judge of its own: points of both answers by the model's name."""

    def __init__(self, double, points):
        self._doubles = {name: double(self._reply(say)) for name, say in points.items()}

    async def chat(self, model, prompt):
        return await self._doubles[model].chat(model, prompt)

    @staticmethod
    def _reply(say):
        def reply(shown, _):
            said = say(shown["ANSWER_1"], shown["ANSWER_2"])
            if isinstance(said, Failure):
                return said
            return {"justification": "", "score_answer_1": said[0], "score_answer_2": said[1]}

        return reply


def longer(one, two):
    return (3 * (len(one) > len(two)), 3 * (len(two) > len(one)))


def shorter(one, two):
    return longer(two, one)


def silent(one, two):
    return Failure("unavailable", "away")


def panel(**more):
    shared = {"kind": "pairwise", "pack": "legal_quality"}
    config = {"kind": "panel", "shared": shared, "judges": ["ada", "bob", "cyd"], **more}
    return parse_judge(config)


def judged(spec, models, pairs):
    return asyncio.run(judge_pairs(spec, pairs, models))


def test_the_majority_wins_and_everyone_keeps_a_verdict(double, pair):
    models = Bench(double, {"ada": longer, "bob": longer, "cyd": shorter})
    (verdict,) = judged(panel(), models, [pair("x", "yy")])
    assert (verdict.outcome, verdict.status) == (Outcome.B, Status.SCORED)
    assert verdict.b == pytest.approx(2 / 3)
    assert verdict.difference == pytest.approx(1 / 3)
    own = {name: member.outcome for name, member in verdict.members.items()}
    assert own == {"ada": Outcome.B, "bob": Outcome.B, "cyd": Outcome.A}
    assert verdict.usage.calls == 6
    assert "ada b, bob b, cyd a" in verdict.reason


def test_no_more_than_half_is_a_tie(double, pair):
    models = Bench(double, {"ada": longer, "bob": lambda one, two: (1, 1), "cyd": shorter})
    (verdict,) = judged(panel(), models, [pair("x", "yy")])
    assert (verdict.outcome, verdict.difference) == (Outcome.TIE, 0.0)


def test_the_mean_weighs_by_how_much(double, pair):
    def little(one, two):
        return (2 + (len(one) < len(two)), 2 + (len(two) < len(one)))

    models = Bench(double, {"ada": longer, "bob": little, "cyd": little})
    (verdict,) = judged(panel(combine="mean"), models, [pair("x", "yy")])
    assert verdict.outcome is Outcome.B
    assert (verdict.a, verdict.b) == (pytest.approx(2 / 3), pytest.approx((1 + 2 / 3 + 2 / 3) / 3))
    assert judged(panel(), models, [pair("x", "yy")])[0].outcome is Outcome.A


def test_a_silent_judge_is_left_out_and_told_and_too_many_make_no_verdict(double, pair):
    one = Bench(double, {"ada": longer, "bob": longer, "cyd": silent})
    (verdict,) = judged(panel(), one, [pair("x", "yy")])
    assert (verdict.outcome, verdict.b) == (Outcome.B, 1.0)
    assert "no verdict of cyd" in verdict.reason
    (strict,) = judged(panel(least=3), one, [pair("x", "yy")])
    assert (strict.status, strict.outcome) == (Status.ERROR, None)
    two = Bench(double, {"ada": longer, "bob": silent, "cyd": silent})
    (none,) = judged(panel(), two, [pair("x", "yy")])
    assert none.status is Status.ERROR
    assert "2 of 3 judges gave no verdict" in none.reason


def test_the_summary_has_every_judges_own_figures_and_how_far_they_agree(double, pair):
    models = Bench(double, {"ada": longer, "bob": longer, "cyd": lambda one, two: (3, 0)})
    pairs = [pair("x" * (1 + n % 3), "yy", key=str(n)) for n in range(30)]
    spec = panel()
    verdicts = judged(spec, models, pairs)
    judge = spec.judge()
    found = summary_of(verdicts, scale=judge.scale, member_scales=judge.member_scales)
    assert (found.wins_a, found.ties, found.wins_b) == (10, 10, 10)
    assert list(found.members) == ["ada", "bob", "cyd"]
    assert (found.members["ada"].wins_b, found.members["cyd"].ties) == (10, 30)
    assert found.members["cyd"].signs.first_slot.value == 1.0
    assert found.members["ada"].signs.consistency.value == 1.0
    assert found.unanimous.value == pytest.approx(1 / 3)
    assert 0 < found.alpha.value < 1
    assert found.usage.calls == 30 * 6
    again = [VERDICTS.validate_json(VERDICTS.dump_json(verdict)) for verdict in verdicts]
    assert again == verdicts
    assert SUMMARIES.dump_python(found, mode="json")["members"]["bob"]["n"] == 30


def test_another_judge_or_another_rule_is_another_panel():
    found = {
        panel().judge().identity,
        panel(combine="mean").judge().identity,
        panel(least=3).judge().identity,
        panel(judges=["ada", "bob", "dan"]).judge().identity,
    }
    assert len(found) == 4
    assert panel(least=2).judge().identity == panel().judge().identity


def test_judges_of_few_families_are_warned_of():
    assert few_families(["mistral-a", "mistral-b", "qwen-7"])[0].startswith(
        "the judges are of 2 families (mistral, qwen)"
    )
    assert few_families(["mistral-a", "llama-3", "qwen-7"]) == ()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"judges": ["ada", "ada"]}, "two judges are called 'ada'"),
        ({"least": 4}, "least is 4"),
        ({"judges": ["ada"]}, "judges"),
        ({"judges": [{"kind": "panel", "judges": ["a", "b"]}, "bob"]}, "panel"),
    ],
)
def test_a_panel_that_cannot_be_is_refused(wrong, said):
    with pytest.raises(InvalidInput, match=said):
        panel(**wrong)
