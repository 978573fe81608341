"""Runs of another program, on both databases: kept like our own, and marked as what they are."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from modiste.actions import eval_imports, evaluations, files
from modiste.actions.eval_imports import import_run
from modiste.actions.sweep import sweep
from modiste.errors import BadRequest, Forbidden, InvalidInput, NotFound, TooLarge
from modiste.evaluate import imported as imports
from modiste.evaluate.imported import Imported
from modiste.evaluate.items import SAMPLES, Answer, Failure, Item, Sample, scored
from modiste.store.database import Database
from modiste.types import Actor, EvalRun, EvalStatus, File, Purpose, Scope

STARTED = datetime(2026, 11, 3, 8, tzinfo=UTC)
GROUP = "5f0c4c1e-7f43-4f5e-9a0e-0a1f0c6c2a10"


def spec(**changes: Any) -> dict[str, Any]:
    return {
        "suite": "lm-eval.bees",
        "model": "modiste-tiny",
        "harness": "lm-eval",
        "harness_version": "0.4.13",
        "chat_template": False,
        "flags": {"num_fewshot": "0", "limit": None},
        "scorers": [{"name": "acc", "config": {"metric": "acc"}, "value": 0.6, "stderr": 0.2449}],
        "started_at": STARTED.isoformat(),
        "finished_at": (STARTED + timedelta(minutes=2)).isoformat(),
        **changes,
    }


def lines(*values: float) -> list[Any]:
    made = [
        Sample(Item(str(at), {"question": at}, "yes"), 0, (), Answer("yes"), {"acc": scored(value)})
        for at, value in enumerate(values)
    ]
    return [SAMPLES.dump_json(sample) for sample in made]


@pytest.fixture
def sent(upload: Any) -> File:
    file: File = upload(*lines(1, 0, 1, 1, 0), filename="bees.jsonl", purpose=Purpose.EVALS)
    return file


@pytest.fixture
def kept(database: Database, admin: Actor, sent: File) -> EvalRun:
    return import_run(database, admin, spec=spec(), file_id=sent.id, group=GROUP)


def test_an_imported_run_is_a_run_that_says_whence_it_came(kept: EvalRun) -> None:
    assert kept.status is EvalStatus.SUCCESS
    assert (kept.suite, kept.model_id, kept.group) == ("lm-eval.bees", "modiste-tiny", GROUP)
    assert (kept.counts.total, kept.counts.done, kept.counts.failed) == (5, 5, 0)
    assert kept.record is not None
    assert kept.record["details"]["imported"] == {
        "harness": "lm-eval",
        "version": "0.4.13",
        "chat_template": False,
        "flags": {"num_fewshot": "0", "limit": None},
        "figures": {"acc": {"value": 0.6, "stderr": 0.2449}},
    }
    assert kept.record["primary"] == "acc.mean"
    assert kept.record["sampling"]["chat_template"] is False
    assert (kept.started_at, kept.finished_at) == (STARTED, STARTED + timedelta(minutes=2))


def test_figures_are_computed_here_whatever_is_claimed(
    database: Database, admin: Actor, sent: File
) -> None:
    claims = [{"name": "acc", "config": {}, "value": 0.99, "stderr": 0.001}]
    run = import_run(database, admin, spec=spec(scorers=claims), file_id=sent.id)
    (metric,) = run.metrics
    assert metric["estimate"]["value"] == pytest.approx(0.6)
    assert "which is not the mean of these samples" in metric["notes"][0]


def test_it_is_read_by_comparisons_like_any_other(
    database: Database, admin: Actor, kept: EvalRun
) -> None:
    with database.transaction(write=False) as tx:
        run = evaluations.load(tx, admin, kept.id)
        listed = evaluations.list_(tx, admin, suite="lm-eval.bees", group=GROUP)
    assert [sample.scores["acc"].value for sample in run.samples] == [1, 0, 1, 1, 0]
    estimate = run.metric("acc").estimate
    assert estimate is not None
    assert estimate.n == 5
    assert [each.id for each in listed.items] == [kept.id]


def test_it_outlives_the_file_that_brought_it(
    database: Database, admin: Actor, sent: File, kept: EvalRun
) -> None:
    with database.transaction() as tx:
        files.delete(tx, admin, sent.id)
    sweep(database, grace=timedelta(0))
    with database.transaction(write=False) as tx:
        assert len(evaluations.load(tx, admin, kept.id).samples) == 5


def test_it_never_ended_in_the_future(database: Database, admin: Actor, sent: File) -> None:
    late = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    run = import_run(database, admin, spec=spec(finished_at=late), file_id=sent.id)
    assert run.finished_at == run.created_at


def test_it_can_be_neither_graded_anew_nor_resumed(
    database: Database, admin: Actor, kept: EvalRun
) -> None:
    for suite in (None, {"scorers": ["exact"]}):
        with pytest.raises(BadRequest, match="imported with its scores"):
            evaluations.rescore(database, admin, kept.id, spec=suite)
    with database.transaction() as tx, pytest.raises(BadRequest, match="has its answer"):
        evaluations.resume(tx, admin, kept.id)


def test_whose_file_was_private_has_private_samples(
    database: Database, other: Actor, upload: Any
) -> None:
    private = upload(
        *lines(1, 0), actor=other, filename="b.jsonl", purpose=Purpose.EVALS, visibility="user"
    )
    run = import_run(database, other, spec=spec(), file_id=private.id)
    stranger = Actor("key_stranger", other.org, frozenset({Scope.INFER}))
    with database.transaction(write=False) as tx, pytest.raises(Forbidden, match="another key"):
        evaluations.samples(tx, stranger, run.id)


@pytest.mark.parametrize("scope", [Scope.INFER, Scope.DATA])
def test_one_right_is_not_enough(
    database: Database, admin: Actor, sent: File, scope: Scope
) -> None:
    half = Actor(admin.key_id, admin.org, frozenset({scope}))
    with pytest.raises(Forbidden):
        import_run(database, half, spec=spec(), file_id=sent.id)


def test_what_is_not_here_is_refused(database: Database, admin: Actor, sent: File) -> None:
    with pytest.raises(NotFound, match="nobody"):
        import_run(database, admin, spec=spec(model="nobody"), file_id=sent.id)
    with pytest.raises(NotFound, match="No file"):
        import_run(database, admin, spec=spec(), file_id="file_none")


def test_what_makes_no_run_is_refused_and_leaves_none(
    database: Database, admin: Actor, sent: File, upload: Any
) -> None:
    rows = upload({"messages": []}, filename="c.jsonl", purpose=Purpose.EVALS)
    with pytest.raises(InvalidInput, match=r"c\.jsonl line 1"):
        import_run(database, admin, spec=spec(), file_id=rows.id)
    with pytest.raises(InvalidInput, match="did you mean 'harness'"):
        import_run(database, admin, spec={**spec(), "harnes": "x"}, file_id=sent.id)
    with pytest.raises(InvalidInput, match="expected a UUID"):
        import_run(database, admin, spec=spec(), file_id=sent.id, group="today")
    with database.transaction(write=False) as tx:
        assert evaluations.list_(tx, admin).total == 0


def test_sizes_are_bounded(
    database: Database, admin: Actor, sent: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eval_imports, "MAX_SAMPLES_BYTES", sent.size_bytes - 1)
    with pytest.raises(TooLarge, match=r"bees\.jsonl has"):
        import_run(database, admin, spec=spec(), file_id=sent.id)
    monkeypatch.setattr(eval_imports, "MAX_SPEC_BYTES", len(json.dumps(spec())) - 1)
    with pytest.raises(TooLarge, match="run has"):
        import_run(database, admin, spec=spec(), file_id=sent.id)


def test_a_run_that_lacks_answers_is_not_asked_again_here(
    database: Database, admin: Actor, upload: Any
) -> None:
    late = Answer(failure=Failure("timeout", "late"))
    sample = SAMPLES.dump_json(Sample(Item("9", {}, "yes"), 0, (), late))
    file = upload(*lines(1, 0), sample, filename="late.jsonl", purpose=Purpose.EVALS)
    run = import_run(database, admin, spec=spec(), file_id=file.id)
    assert run.counts.failed == 1
    with database.transaction() as tx, pytest.raises(BadRequest, match="only what asked for them"):
        evaluations.resume(tx, admin, run.id)


def graded(*values: float, **changes: Any) -> eval_imports.Graded:
    told = Imported.model_validate(spec(**changes))
    samples = imports.samples_of(lines(*values), told, name="given")
    metrics = imports.figures(told, samples)
    return eval_imports.Graded(told, samples, metrics, "acc.mean", {"acc": "same"}, "mine")


def test_what_was_graded_in_this_process_is_kept_for_its_key_alone(
    database: Database, admin: Actor, other: Actor
) -> None:
    run = eval_imports.keep(database, admin, graded(1, 0, 1), group=GROUP)
    assert (run.subject, run.group, run.status) == ("mine", GROUP, EvalStatus.SUCCESS)
    sweep(database, grace=timedelta(0))
    with database.transaction(write=False) as tx:
        loaded = evaluations.load(tx, admin, run.id)
        assert (len(loaded.samples), loaded.record.scorers) == (3, {"acc": "same"})
        with pytest.raises(Forbidden, match="for another key alone"):
            evaluations.load(tx, other, run.id)


def test_what_cannot_be_kept_leaves_nothing(
    database: Database, admin: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotFound):
        eval_imports.keep(database, admin, graded(1, model="nosuch"))
    with pytest.raises(Forbidden):
        eval_imports.keep(database, replace(admin, scopes=frozenset({Scope.DATA})), graded(1))
    monkeypatch.setattr(eval_imports, "MAX_SAMPLES_BYTES", 10)
    with pytest.raises(TooLarge, match="at most 10 are kept"):
        eval_imports.keep(database, admin, graded(1))
    with database.transaction(write=False) as tx:
        assert evaluations.list_(tx, admin).total == 0
