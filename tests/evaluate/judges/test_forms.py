"""Verdicts in brackets: the last one counts, strong ones weigh more, FastChat's file is taken."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from modiste.errors import InvalidInput
from modiste.evaluate.items import Answer, Exchange, Item, Status
from modiste.evaluate.judges.forms import (
    ArenaHardSpec,
    MtBenchPairSpec,
    RubricPairSpec,
    arena_reader,
    fastchat,
    pair_reader,
    rating_reader,
)
from modiste.evaluate.judges.judge import judge_pairs
from modiste.evaluate.judges.pairs import Outcome
from modiste.evaluate.judges.pairwise import PairwiseSpec
from modiste.evaluate.judges.pointwise import MtBenchSingleSpec
from modiste.evaluate.judges.reading import Unreadable

DATA = Path(os.environ.get("MODISTE_DATA", Path(__file__).parents[3] / ".." / "shared" / "data"))
ONE = ("pair-v2", "pair-math-v1", "single-v1", "single-math-v1")
NAMES = (*ONE, *(f"{name}-multi-turn" for name in ONE))
TALK_A = (Exchange("Write a poem.", "a's poem"),)
TALK_B = (Exchange("Write a poem.", "b's poem"),)


def judged(judge, one, models):
    (verdict,) = asyncio.run(judge_pairs(judge, [one], models))
    return verdict


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "judge_prompts.jsonl"
    template = "[Q]\n{question}\n[R]{ref_answer_1}\n[A]{answer_a}{answer}\n[B]{answer_b}"
    rows = [{"name": n, "system_prompt": f"S {n}", "prompt_template": template} for n in NAMES]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    ("text", "points"),
    [("so [[A]]", (1, 0)), ("[[A]] it says; no: [[B]]", (0, 1)), ("[[C]]", (0.5, 0.5))],
)
def test_mt_bench_pairs_are_read(text, points):
    assert pair_reader()(text)[:2] == points


@pytest.mark.parametrize(
    ("step", "points", "weight"),
    [
        ("A>>B", (3, 0), 3),
        ("A>B", (1, 0), 1),
        ("A=B", (0, 0), 1),
        ("B>A", (0, 1), 1),
        ("B>>A", (0, 3), 3),
    ],
)
def test_arena_hard_has_five_steps_and_strong_ones_count_three_times(step, points, weight):
    found = arena_reader()(f"My own answer: … Final verdict: [[{step}]]")
    assert (found[:2], found.weight) == (points, weight)


@pytest.mark.parametrize(("text", "value"), [("Rating: [[7]]", 7), ("[[2]] … [[8.5]]", 8.5)])
def test_ratings_are_read(text, value):
    assert rating_reader()(text) == value


@pytest.mark.parametrize("text", ["Rating: 7", "Rating: [[11]]", "Rating: [[0]]"])
def test_ratings_off_the_scale_or_without_brackets_are_none(text):
    with pytest.raises(Unreadable):
        rating_reader()(text)


def test_a_tie_of_one_order_and_a_win_of_the_other_is_an_inconsistent_tie(pair, double):
    spec = MtBenchPairSpec(kind="mt_bench_pair", model="judge")
    models = double(lambda shown, _: "[[C]]" if shown["ASSISTANT_A"] == "x" else "[[A]]")
    verdict = judged(spec, pair("x", "y"), models)
    assert (verdict.outcome, verdict.consistent) == (Outcome.TIE, False)


def test_a_judge_that_gives_no_verdict_twice_is_a_failure(pair, double):
    spec = MtBenchPairSpec(kind="mt_bench_pair", model="judge")
    verdict = judged(spec, pair("x", "y"), double(lambda shown, _: "Both are fine."))
    assert verdict.status is Status.PARSE_FAILED


def test_arena_hard_lets_the_judge_answer_first(pair, double):
    spec = ArenaHardSpec(kind="arena_hard", model="judge")
    models = double(lambda shown, _: "[[A>>B]]" if shown["ASSISTANT_A"] == "x" else "[[B>A]]")
    verdict = judged(spec, pair("x", "y"), models)
    assert (verdict.outcome, verdict.difference) == (Outcome.A, -2.0)
    assert [look.weight for look in verdict.looks] == [3, 1]
    assert "First write your own answer" in models.prompts[0].messages[0].content


def test_fastchats_prompts_are_used_as_they_are(pair, double, prompts):
    spec = MtBenchPairSpec(
        kind="mt_bench_pair", model="judge", prompts=str(prompts), reference="{{right}}"
    )
    models = double(lambda shown, _: "[[C]]")
    judged(spec, pair("{answer_b}", "y", right="4", question="2+2?"), models)
    system, user = models.prompts[0].messages
    assert system.content == "S pair-math-v1"
    assert user.content == "[Q]\n2+2?\n[R]4\n[A]{answer_b}{answer}\n[B]y"


SECOND = (
    "[Q1]{question_1}[Q2]{question_2}[R1]{ref_answer_1}[R2]{ref_answer_2}"
    "[A]{answer_a_1}|{answer_a_2}{answer_1}|{answer_2}[B]{answer_b_1}|{answer_b_2}"
)


def second_turn(prompts):
    rows = [json.loads(line) for line in prompts.read_text().splitlines()]
    told = ({**r, "prompt_template": SECOND} if "multi" in r["name"] else r for r in rows)
    prompts.write_text("".join(json.dumps(row) + "\n" for row in told))
    return str(prompts)


def test_fastchats_prompts_for_two_turns_judge_the_second_answer(pair, double, prompts):
    spec = MtBenchPairSpec(kind="mt_bench_pair", model="judge", prompts=second_turn(prompts))
    models = double(lambda shown, _: "[[C]]")
    one = replace(pair("x", "y", question="Shorter."), earlier_a=TALK_A, earlier_b=TALK_B)
    judged(spec, one, models)
    system, user = models.prompts[0].messages
    assert system.content == "S pair-v2-multi-turn"
    assert user.content.startswith("[Q1]Write a poem.[Q2]Shorter.[R1]{ref_answer_1}")
    assert "[A]a's poem|x" in user.content
    assert user.content.endswith("[B]b's poem|y")


def test_two_turns_with_references_want_one_for_each(pair, double, prompts):
    spec = MtBenchPairSpec(
        kind="mt_bench_pair", model="judge", prompts=second_turn(prompts), reference="{{right}}"
    )
    models = double(lambda shown, _: "[[C]]")
    talk = {"earlier_a": TALK_A, "earlier_b": TALK_B}
    judged(spec, replace(pair("x", "y", right=["4", "8"]), **talk), models)
    assert models.prompts[0].messages[0].content == "S pair-math-v1-multi-turn"
    assert "[R1]4[R2]8" in models.prompts[0].messages[1].content
    verdict = judged(spec, replace(pair("x", "y", right="8"), **talk), models)
    assert verdict.status is Status.ERROR
    assert "a field of the row that is a list of two" in verdict.reason


def test_fastchat_has_no_prompts_for_three_turns(pair, double, prompts):
    spec = MtBenchPairSpec(kind="mt_bench_pair", model="judge", prompts=second_turn(prompts))
    three = replace(pair("x", "y"), earlier_a=TALK_A * 2, earlier_b=TALK_B * 2)
    verdict = judged(spec, three, double(lambda shown, _: "[[C]]"))
    assert (verdict.status, "this conversation has 3" in verdict.reason) == (Status.ERROR, True)


def test_ratings_of_second_answers_are_by_the_prompts_for_two_turns(prompts, double):
    spec = MtBenchSingleSpec(kind="mt_bench_single", model="judge", prompts=second_turn(prompts))
    models = double(lambda shown, _: "Rating: [[7]]")
    item = Item("k", {"question": "Shorter."})
    score = asyncio.run(spec.build().grade(item, Answer("x", earlier=TALK_A), models))
    assert score.value == 7
    assert models.prompts[0].messages[0].content == "S single-v1-multi-turn"
    assert "a's poem|x" in models.prompts[0].messages[1].content


@pytest.mark.parametrize(
    "spec",
    [
        MtBenchPairSpec(kind="mt_bench_pair", model="j"),
        ArenaHardSpec(kind="arena_hard", model="j"),
        RubricPairSpec(kind="rubric_pair", model="j"),
        PairwiseSpec(kind="pairwise", model="j", criteria=("It rhymes.",)),
        PairwiseSpec(kind="pairwise", model="j", pack="legal_quality"),
    ],
    ids=lambda spec: spec.kind,
)
def test_every_judge_of_pairs_sees_each_answers_own_conversation(spec, pair, double):
    models = double(lambda shown, _: "nothing that can be read")
    judged(spec, replace(pair("x", "y"), earlier_a=TALK_A, earlier_b=TALK_B), models)
    system, _ = models.prompts[0].messages
    shown = models.shown[0]
    first, second = (shown[name] for name in sorted(shown) if name.startswith("EARLIER"))
    assert first == "User:\nWrite a poem.\n\nAssistant:\na's poem"
    assert second.endswith("Assistant:\nb's poem")
    assert "Judge the last answers" in system.content
    judged(spec, pair("x", "y"), models)
    assert "EARLIER" not in str(models.prompts[-1].messages)


def test_what_prepares_for_one_question_refuses_conversations(pair, double):
    spec = PairwiseSpec(kind="pairwise", model="j", criteria=("It rhymes.",), thorough=True)
    verdict = judged(spec, replace(pair("x", "y"), earlier_a=TALK_A), double(lambda *_: ""))
    assert "thorough prepares for one question" in verdict.reason


def test_answers_without_markdown_have_conversations_without(pair, double):
    spec = MtBenchPairSpec(kind="mt_bench_pair", model="j", plain=True)
    models = double(lambda shown, _: "[[C]]")
    talk = (Exchange("Why?", "**So**"),)
    judged(spec, replace(pair("x", "y"), earlier_a=talk, earlier_b=talk), models)
    assert models.shown[0]["EARLIER_A"].endswith("Assistant:\nSo")


def test_whose_words_they_are_is_part_of_the_judge(prompts):
    ours = MtBenchPairSpec(kind="mt_bench_pair", model="judge").judge()
    theirs = MtBenchPairSpec(kind="mt_bench_pair", model="judge", prompts=str(prompts)).judge()
    assert ours.identity != theirs.identity


def test_a_file_that_is_not_fastchats_is_refused(tmp_path, prompts):
    other = tmp_path / "other.jsonl"
    other.write_text('{"id": 1}\n')
    with pytest.raises(InvalidInput, match="name, system_prompt and prompt_template"):
        fastchat(str(other))
    other.write_text(prompts.read_text().splitlines()[0] + "\n")
    with pytest.raises(InvalidInput, match="lacks the prompts pair-math-v1"):
        fastchat(str(other))
    with pytest.raises(InvalidInput, match="cannot be read"):
        fastchat(str(tmp_path / "none"))


def test_the_real_file_of_fastchat_is_read():
    path = DATA / "i_mt_bench" / "judge_prompts.jsonl"
    if not path.exists():
        pytest.skip(f"{path} is not there; set MODISTE_DATA")
    found = fastchat(str(path))
    data = {"question": "Q?", "answer_a": "one", "answer_b": "two"}
    user = found.messages("pair-v2", data)[1].content
    assert "one" in user
    assert "{" not in user
    second = {"question_1": "Q?", "question_2": "R?"}
    second |= {f"answer_{side}_{at}": f"{side}{at}" for side in "ab" for at in (1, 2)}
    user = found.messages("pair-v2-multi-turn", second)[1].content
    assert "b2" in user
    assert "{" not in user


def test_the_relative_form_reads_the_last_result_and_knows_no_tie(pair, double):
    spec = RubricPairSpec(kind="rubric_pair", model="judge", criterion="It names its sources.")
    models = double(
        lambda shown, _: f"Feedback: [RESULT] B was planted. [RESULT] {_letter(shown, 'x')}"
    )
    verdict = judged(spec, pair("x", "y"), models)
    assert (verdict.outcome, verdict.consistent, verdict.a) == (Outcome.A, True, 1.0)
    assert "It names its sources." in models.prompts[0].messages[1].content
    with pytest.raises(Unreadable, match="A or B"):
        spec.judge().reader()("Feedback: both. [RESULT] C")


def _letter(shown, better):
    return "A" if shown["ANSWER_A"] == better else "B"
