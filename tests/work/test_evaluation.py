"""A worker runs an evaluation to its end, whoever is killed on the way; with real processes."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from modiste.actions import eval_runs, evaluations, files, keys
from modiste.store import queue
from modiste.store.database import Database
from modiste.store.eval_tables import EvalRunRow
from modiste.store.tables import Phase
from modiste.types import Actor, EvalCounts, EvalRun, EvalStatus, Purpose
from modiste.work import evaluation
from modiste.work.evaluation import Request, State
from modiste.work.worker import EVALUATIONS, Worker

from .beside import children, one_database, until, workers

S = EvalStatus
Make = Callable[..., EvalRun]


@pytest.fixture
def make(database: Database, admin: Actor) -> Make:
    """A run over `n` rows, which the stand-in answers as `how` says; half of them are right."""

    def create(
        n: int = 5,
        actor: Actor = admin,
        attempts: int = 1,
        scorers: Sequence[Any] = ("exact",),
        **how: Any,
    ) -> EvalRun:
        (database.settings.home / "standin.json").write_text(json.dumps(how))
        rows = [{"q": f"q{i}", "a": f"q{i}" if i % 2 else "no"} for i in range(n)]
        chunks = [json.dumps(row).encode() + b"\n" for row in rows]
        options: Any = {"filename": "rows.jsonl", "purpose": Purpose.EVALS}
        file = files.add(database, actor, chunks=chunks, **options)
        spec = {
            "name": "s",
            "dataset": {"file_id": file.id, "id": "{{q}}", "reference": "{{a}}"},
            "prompt": "{{q}}", "attempts": attempts,
            "models": {"base": {"model": "modiste-tiny"}}, "scorers": list(scorers),
        }  # fmt: skip
        return evaluations.create(database, actor, spec=spec)[0]

    return create


@pytest.fixture
def worker(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Worker]]:
    """`worker()` is a loop of evaluations in a thread, whose child needs no engine."""
    monkeypatch.setattr(evaluation, "RUNNER", "standin_models")
    with workers(database.settings, EVALUATIONS) as start:
        yield start


def look(database: Database, actor: Actor, made: EvalRun) -> EvalRun:
    with database.transaction(write=False) as tx:
        return evaluations.get(tx, actor, made.id)


def end_of(database: Database, actor: Actor, made: EvalRun) -> EvalRun:
    return until(lambda: r if (r := look(database, actor, made)).status.final else None)  # type: ignore[no-any-return]


def stored(database: Database, actor: Actor, made: EvalRun) -> list[str]:
    """The items of the samples, in their order."""
    with database.transaction(write=False) as tx:
        lines = b"".join(evaluations.samples(tx, actor, made.id))
    return [sample.item.key for sample in evaluations.samples_in(lines)]


def asked(database: Database) -> Counter[str]:
    """How often each question was answered."""
    path = database.settings.home / "asked.txt"
    return Counter(path.read_text().splitlines()) if path.exists() else Counter()


def questions(n: int) -> list[str]:
    return [f"q{i}" for i in range(n)]


def test_a_run_comes_to_figures_and_leaves_samples_and_nothing_else(
    database: Database, admin: Actor, make: Make, worker: Callable[[], Worker]
) -> None:
    worker()
    done = end_of(database, admin, made := make(6, fail=["q2"]))
    assert (done.status, done.error) == (S.SUCCESS, None)
    assert done.counts == EvalCounts(6, 6, 1, 15, 10, 25)
    assert stored(database, admin, made) == questions(6)
    [metric] = done.metrics
    assert (metric["estimate"]["value"], metric["estimate"]["n"]) == (0.6, 5)
    assert metric["n_unscored"] == 1
    assert done.record is not None
    assert (done.record["model_id"], done.record["n_items"]) == ("modiste-tiny", 6)
    assert done.record["primary"] == "exact.mean"
    assert not (database.settings.runs_dir / made.id).exists()


@pytest.mark.slow
def test_a_killed_child_is_started_again_and_no_sample_is_lost_or_doubled(
    database: Database, admin: Actor, make: Make, worker: Callable[[], Worker]
) -> None:
    worker()
    made = make(40, attempts=2, step_s=0.2, at_once=2)  # Eight seconds, told twice in each.
    for _ in range(3):
        before = look(database, admin, made).counts.done
        until(lambda: look(database, admin, made).counts.done > before)  # noqa: B023
        for child in children(made.id):
            child.kill()
    done = end_of(database, admin, made)
    assert (done.status, done.counts.done) == (S.SUCCESS, 80)
    assert stored(database, admin, made) == [q for q in questions(40) for _ in range(2)]
    undisturbed = end_of(database, admin, make(40, attempts=2))
    assert done.metrics == undisturbed.metrics
    assert done.counts == undisturbed.counts


@pytest.mark.slow
@one_database
def test_a_child_that_always_dies_ends_the_run_which_is_resumed_without_asking_twice(
    database: Database, admin: Actor, make: Make, worker: Callable[[], Worker]
) -> None:
    worker()
    done = end_of(database, admin, made := make(9, die_at="q5", at_once=1))
    assert done.status is S.FAILED
    assert done.error is not None
    assert (done.error.code, done.counts.done) == ("evaluation_died", 5)
    assert "ended with exit code 9" in done.error.message
    assert "modiste eval resume" in done.error.message
    assert stored(database, admin, made) == questions(5)
    (database.settings.home / "standin.json").write_text("{}")
    with database.transaction() as tx:
        evaluations.resume(tx, admin, made.id)
    again = end_of(database, admin, made)
    assert (again.status, again.error, again.counts.done) == (S.SUCCESS, None, 9)
    assert stored(database, admin, made) == questions(9)
    assert asked(database) == Counter(f"modiste-tiny {q}" for q in questions(9))


@pytest.mark.slow
@one_database
def test_a_cancelled_run_ends_with_what_it_has_and_goes_on_from_there(
    database: Database, admin: Actor, make: Make, worker: Callable[[], Worker]
) -> None:
    worker()
    made = make(300, step_s=0.1)
    until(lambda: look(database, admin, made).counts.done > 3)
    with database.transaction() as tx:
        assert evaluations.cancel(tx, admin, made.id).status is S.CANCELLATION_REQUESTED
    done = end_of(database, admin, made)
    assert (done.status, done.error, done.record) == (S.CANCELLED, None, None)
    kept = stored(database, admin, made)
    assert 3 < len(kept) == done.counts.done < 300
    (database.settings.home / "standin.json").write_text('{"at_once": 64}')
    with database.transaction() as tx:
        evaluations.resume(tx, admin, made.id)
    assert end_of(database, admin, made).status is S.SUCCESS
    assert stored(database, admin, made) == questions(300)
    twice = [q for q, n in asked(database).items() if n > 1]
    assert len(twice) <= 4, "more than what was in hand when it was cancelled"
    assert not {q.split()[1] for q in twice} & set(kept)


@pytest.mark.slow
@one_database
def test_a_model_that_never_answers_ends_the_run_which_can_be_resumed(
    database: Database, admin: Actor, make: Make, worker: Callable[[], Worker]
) -> None:
    worker()
    done = end_of(database, admin, made := make(200, fail="all", patience=20))
    assert done.status is S.FAILED
    assert done.error is not None
    assert done.error.code == "unavailable"
    assert "20 requests in a row had no answer" in done.error.message
    assert 20 <= done.counts.failed == done.counts.done < 30
    (database.settings.home / "standin.json").write_text("{}")
    with database.transaction() as tx:
        evaluations.resume(tx, admin, made.id)
    again = end_of(database, admin, made)
    assert (again.status, again.counts.done, again.counts.failed) == (S.SUCCESS, 200, 0)
    assert stored(database, admin, made) == questions(200)


@pytest.mark.slow
def test_a_draining_worker_hands_the_run_on_and_the_next_one_asks_nothing_twice(
    database: Database, admin: Actor, make: Make, worker: Callable[[], Worker]
) -> None:
    first = worker()
    made = make(100, step_s=0.1, at_once=1)
    until(lambda: look(database, admin, made).counts.done > 5)
    first.stopping.set()
    until(lambda: not children(made.id))
    assert 5 < look(database, admin, made).counts.done < 100
    worker()
    assert end_of(database, admin, made).counts.done == 100
    assert stored(database, admin, made) == questions(100)
    assert sum(n - 1 for n in asked(database).values()) <= 1, "more than what was in hand"


@pytest.mark.slow
@one_database
def test_a_run_of_a_revoked_key_ends_with_what_it_has(
    database: Database, admin: Actor, make: Make, worker: Callable[[], Worker]
) -> None:
    with database.transaction() as tx:
        made_key = keys.create(tx, admin, name="soon gone", scopes=["infer", "data"])
        owner = keys.authenticate(tx, made_key.secret)
    worker()
    made = make(300, actor=owner, step_s=0.05)
    until(lambda: look(database, admin, made).counts.done > 3)
    with database.transaction() as tx:
        keys.revoke(tx, admin, owner.key_id)
    done = end_of(database, admin, made)
    assert (done.status, done.error) == (S.FAILED, eval_runs.KEY_GONE)
    assert 3 < done.counts.done == len(stored(database, admin, made)) < 300
    with database.transaction() as tx:
        evaluations.resume(tx, admin, made.id)
    (database.settings.home / "standin.json").write_text('{"at_once": 64}')
    assert end_of(database, admin, made).status is S.SUCCESS


@pytest.mark.slow
@one_database
def test_answers_are_graded_anew_to_the_same_figures_and_nothing_is_asked(
    database: Database, admin: Actor, make: Make, worker: Callable[[], Worker]
) -> None:
    worker()
    judge = {"kind": "rubric", "model": "modiste-tiny", "request": "{{q}}"}
    first = end_of(database, admin, make(8, attempts=2, fail=["q3"], scorers=["exact", judge]))
    before = asked(database)
    assert before["modiste-tiny (judge)"] > 0
    anew = evaluations.rescore(database, admin, first.id)
    done = end_of(database, admin, anew)
    assert (done.status, done.error) == (S.SUCCESS, None)
    figures = [[metric["estimate"] for metric in run.metrics] for run in (first, done)]
    assert figures[0] == figures[1]
    assert asked(database) == before
    assert done.metrics[1]["notes"] == [
        "14 of 14 replies of judges had been given before, to the same prompts",
        "modiste-tiny judges a model of its own family, which judges prefer",
    ]
    assert first.record is not None
    assert done.record is not None
    same = ("model_id", "model_version", "dataset_sha256", "prompt_sha256", "scorers", "primary")
    assert [done.record[name] for name in same] == [first.record[name] for name in same]
    assert stored(database, admin, anew) == stored(database, admin, first)


@pytest.mark.slow
@one_database
def test_a_figure_that_decides_and_is_none_ends_the_run_with_its_answers(
    database: Database, admin: Actor, make: Make, worker: Callable[[], Worker]
) -> None:
    made = make(3)
    with database.transaction() as tx:
        row = _row(tx, made.id)
        row.spec = {**row.spec, "primary": "exact.median"}
    worker()
    done = end_of(database, admin, made)
    assert done.status is S.FAILED
    assert done.error is not None
    assert "primary is 'exact.median'; the figures are exact.mean" in done.error.message
    assert done.counts.done == 3
    spec = {"scorers": ["exact"], "primary": "exact.mean"}
    anew = evaluations.rescore(database, admin, made.id, spec=spec)
    assert end_of(database, admin, anew).status is S.SUCCESS


def _row(tx: Any, run_id: str) -> EvalRunRow:
    return tx.session.query(EvalRunRow).filter_by(id=run_id).one()  # type: ignore[no-any-return]


@pytest.mark.slow
def test_a_worker_that_lost_the_run_stops_its_child_and_writes_nothing_more(
    database: Database, admin: Actor, make: Make, worker: Callable[[], Worker]
) -> None:
    worker()
    made = make(300, step_s=0.1)
    until(lambda: look(database, admin, made).counts.done > 3)
    with database.transaction() as tx:
        row = _row(tx, made.id)
        row.fence += 1
        row.lease_worker, row.lease_host, row.queued_for = "thief", "elsewhere", Phase.EVALUATE
        row.lease_expires_at = tx.now().replace(year=2099)
    until(lambda: not children(made.id))
    left = look(database, admin, made)
    time.sleep(1.0)
    assert look(database, admin, made) == left
    assert left.status is S.RUNNING


@pytest.mark.slow
@one_database
def test_a_run_that_is_given_up_keeps_the_samples_its_journal_holds(
    database: Database, admin: Actor, make: Make, worker: Callable[[], Worker]
) -> None:
    first = worker()
    made = make(60, step_s=0.05, at_once=1)
    until(lambda: look(database, admin, made).counts.done > 5)
    first.stopping.set()
    until(lambda: not children(made.id))
    with database.transaction() as tx:
        _row(tx, made.id).attempts = queue.MAX_ATTEMPTS + 1
    worker()
    done = end_of(database, admin, made)
    assert (done.status, done.error and done.error.code) == (S.FAILED, "evaluation_died")
    kept = stored(database, admin, made)
    assert kept == questions(60)[: len(kept)]
    assert 5 < len(kept) == done.counts.done < done.counts.total == 60


def test_a_folder_of_an_earlier_life_of_a_run_is_not_gone_on_with(
    database: Database, admin: Actor, make: Make, tmp_path: Path
) -> None:
    made = make(2)
    folder = database.settings.runs_dir / made.id
    request = Request(made, {}, {}, admin)
    evaluation.write_json(
        folder / evaluation.REQUEST, evaluation.REQUESTS.dump_python(request, mode="json")
    )
    (folder / "results.journal").write_bytes(b"0 + {}\n")

    class Bench:
        run_dir = folder

        class task:
            run = made

    assert not evaluation._is_of_an_earlier_life(Bench)  # type: ignore[arg-type]
    with database.transaction() as tx:
        _row(tx, made.id).samples_sha256 = "a" * 64
    Bench.task.run = look(database, admin, made)
    assert evaluation._is_of_an_earlier_life(Bench)  # type: ignore[arg-type]


def test_what_the_child_says_is_written_whole_and_read_back(tmp_path: Path) -> None:
    assert evaluation.read_state(tmp_path) == State()
    told = State(EvalCounts(9, 3, 1, 5, 6, 7), running=True, metrics=({"name": "mean"},))
    evaluation.write_state(tmp_path, told)
    assert evaluation.read_state(tmp_path) == told


def test_what_an_ended_run_left_behind_is_tidied_and_what_runs_is_not(
    database: Database, admin: Actor, make: Make
) -> None:
    made = make()
    folders = [database.settings.runs_dir / name for name in (made.id, "ended-long-ago")]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / evaluation.REQUEST).write_text("{}")
    evaluation.tidy(database)
    assert [folder.exists() for folder in folders] == [True, False]
