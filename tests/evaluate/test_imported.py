"""Scores that another program gave: what of them is believed, and what is computed anew."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from modiste.errors import InvalidInput
from modiste.evaluate import imported as imports
from modiste.evaluate.comparison import compare
from modiste.evaluate.imported import Given, Imported
from modiste.evaluate.items import SAMPLES, Answer, Failure, Item, Sample, Status, scored, unscored
from modiste.evaluate.own_figures import own_figure
from modiste.evaluate.record import Record, Run
from modiste.evaluate.report_html import run_page
from modiste.prepare.checked import checked


def told(**changes: Any) -> Imported:
    run = {
        "suite": "lm-eval.bees",
        "model": "modiste-tiny",
        "harness": "lm-eval",
        "harness_version": "0.4.13",
        "chat_template": True,
        "flags": {"num_fewshot": 5},
        "scorers": [{"name": "acc", "config": {"metric": "acc"}, "value": 0.6, "stderr": 0.2449}],
    }
    return checked(Imported, {**run, **changes}, file="run")


def samples(*values: float | None) -> list[Sample]:
    return [
        Sample(
            Item(str(at), {"question": at}, "yes"),
            0,
            (),
            Answer("yes"),
            {"acc": unscored(Status.ERROR, "none") if value is None else scored(value)},
        )
        for at, value in enumerate(values)
    ]


def lines(*given: Sample) -> list[bytes]:
    return [SAMPLES.dump_json(sample) for sample in given]


FIVE = samples(1, 0, 1, 1, 0)


def test_figures_are_our_own_and_the_other_programs_stand_beside_them() -> None:
    (metric,) = imports.figures(told(), FIVE)
    assert metric.id == "acc.mean"
    assert metric.unit == "share"
    assert metric.estimate is not None
    # Wilson's interval of 3 in 5, and √(.6·.4/4), which is lm-eval's standard error too.
    assert metric.estimate.value == pytest.approx(0.6)
    assert metric.estimate.se == pytest.approx(0.24494897)
    assert (metric.estimate.ci.lo, metric.estimate.ci.hi) == pytest.approx(
        (0.2307, 0.8824), abs=1e-4
    )
    assert metric.notes == ("lm-eval itself says 0.6 ± 0.2449",)


def test_a_figure_that_does_not_follow_from_the_samples_is_told() -> None:
    claims = {"name": "acc", "config": {}, "value": 0.99}
    (metric,) = imports.figures(told(scorers=[claims]), FIVE)
    assert metric.estimate is not None
    assert metric.estimate.value == pytest.approx(0.6)
    assert metric.notes == ("lm-eval itself says 0.99, which is not the mean of these samples",)


def test_a_figure_that_nobody_claims_needs_no_note() -> None:
    (metric,) = imports.figures(told(scorers=[{"name": "acc", "config": {}}]), FIVE)
    assert metric.notes == ()


def test_values_outside_of_shares_are_points_without_bounds() -> None:
    claims = {"name": "acc", "config": {}, "higher_is_better": False}
    (metric,) = imports.figures(told(scorers=[claims]), samples(20.0, 31.5, 40.0))
    assert (metric.unit, metric.higher_is_better) == ("points", False)


def test_what_has_no_score_is_counted_and_no_zero() -> None:
    (metric,) = imports.figures(told(), samples(1, None, 1))
    assert metric.estimate is not None
    assert (metric.estimate.value, metric.estimate.n, metric.n_unscored) == (1.0, 2, 1)


def test_a_given_scorer_grades_nothing_itself() -> None:
    scorer = Given(told().scorers[0], FIVE)
    with pytest.raises(InvalidInput, match="imported"):
        scorer.look(FIVE[0].item, FIVE[0].answer)


def test_samples_come_back_as_they_were_sent() -> None:
    assert imports.samples_of(lines(*FIVE), told(), name="a.jsonl") == FIVE


def test_everything_wrong_with_samples_is_said_with_its_line() -> None:
    other = Sample(Item("9", {}), 0, (), Answer(), {"f1": scored(1.0)})
    (endless,) = (line.replace(b"1.0", b"Infinity") for line in lines(FIVE[2]))
    sent = [*lines(FIVE[0], FIVE[0], other), b"{}", b"", endless]
    with pytest.raises(InvalidInput) as caught:
        imports.samples_of(sent, told(), name="a.jsonl")
    found = [(problem.line, problem.code) for problem in caught.value.problems]
    assert found == [
        (2, "sample_twice"),
        (3, "scorer_unknown"),
        (4, "no_sample"),
        (6, "no_sample"),
    ]
    assert "inf" in caught.value.problems[-1].message


def test_an_empty_or_endless_file_is_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInput, match="no samples"):
        imports.samples_of([b""], told(), name="a.jsonl")
    monkeypatch.setattr(imports, "MOST_SAMPLES", 4)
    with pytest.raises(InvalidInput, match="has 5 samples; at most 4"):
        imports.samples_of(lines(*FIVE), told(), name="a.jsonl")


@pytest.mark.parametrize(
    "missing", ["suite", "model", "harness", "harness_version", "chat_template", "scorers"]
)
def test_a_run_that_does_not_say_what_it_rests_on_is_refused(missing: str) -> None:
    run = {name: value for name, value in told().model_dump().items() if name != missing}
    with pytest.raises(InvalidInput, match=missing):
        checked(Imported, run, file="run")


def test_the_flag_of_the_chat_template_is_never_guessed() -> None:
    with pytest.raises(InvalidInput, match="chat_template"):
        told(chat_template="maybe")


def test_two_scorers_of_one_name_are_refused() -> None:
    twice = {"name": "acc", "config": {}}
    with pytest.raises(InvalidInput, match="two scorers are called 'acc'"):
        told(scorers=[twice, twice])


def test_the_chat_template_is_part_of_the_prompt_and_of_what_a_comparison_tells() -> None:
    on, off = told(), told(chat_template=False)
    assert on.prompt_sha256 != off.prompt_sha256
    assert on.sampling == {"harness": "lm-eval 0.4.13", "chat_template": True, "num_fewshot": 5}
    assert imports.identities(on, FIVE) == imports.identities(off, FIVE)


def test_items_are_counted_once_and_in_their_order() -> None:
    again = [Sample(s.item, 1, (), s.answer, s.scores) for s in FIVE]
    assert imports.dataset_sha256(FIVE) == imports.dataset_sha256([*FIVE, *again])
    assert imports.dataset_sha256(FIVE) != imports.dataset_sha256(FIVE[::-1])


def test_counts_are_of_the_samples() -> None:
    failed = Sample(Item("f", {}), 0, (), Answer(failure=Failure("timeout", "late")))
    paid = Sample(Item("p", {}), 0, (), Answer("a", prompt_tokens=3, completion_tokens=2))
    counted = imports.counts([failed, paid])
    assert (counted.total, counted.done, counted.failed) == (2, 2, 1)
    assert (counted.prompt_tokens, counted.completion_tokens, counted.cost_micro) == (3, 2, 0)


def run_of(chat_template: bool, *values: float) -> Run:
    made = samples(*values)
    imported = told(chat_template=chat_template)
    record = Record(
        run_id=f"chat {chat_template}",
        suite=imported.suite,
        subject="tiny",
        model="modiste-tiny",
        model_id="modiste-tiny",
        model_version="1",
        dataset_sha256=imports.dataset_sha256(made),
        n_items=len(made),
        prompt_sha256=imported.prompt_sha256,
        attempts=1,
        sampling=imported.sampling,
        scorers=imports.identities(imported, made),
        primary="acc.mean",
        code_version="1",
        started_at=datetime(2026, 11, 3, tzinfo=UTC),
    )
    return Run(record, made, imports.figures(imported, made))


def test_two_imported_runs_are_compared_and_the_chat_template_is_told() -> None:
    found = compare(run_of(False, *[0.0] * 12), run_of(True, *[1.0] * 12))
    assert found.primary.kind.metric == "acc.mean"
    assert found.primary.estimate is not None
    assert found.primary.estimate.value == 1.0
    assert any("chat_template is False in A and True in B" in note for note in found.notes)


def test_what_nobody_measured_is_neither_compared_nor_within_a_ceiling() -> None:
    run = run_of(True, 1, 0, 1)
    assert compare(run, run).expenses == ()
    for name in ("latency", "latency.p95", "tokens", "ttft", "cost"):
        assert own_figure(run, name).estimate is None
    page = run_page(run)
    assert "median latency" not in page
    assert "tokens answered" not in page
    assert "0.00 s" not in page
