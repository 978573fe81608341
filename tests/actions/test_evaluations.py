"""Evaluations: asked for with all that is wrong told at once, resumed, graded anew, forgotten."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from modiste.actions import aliases, eval_runs, evaluations, files, keys, models
from modiste.actions.eval_runs import EvalTask, Outcome
from modiste.actions.evaluations import SAMPLES_NAME
from modiste.errors import BadRequest, Conflict, Forbidden, InvalidInput, NotFound
from modiste.evaluate.items import SAMPLES, Answer, Failure, Item, Sample, scored
from modiste.store import queue
from modiste.store.database import Database
from modiste.store.eval_tables import EvalRunRow
from modiste.store.queue import WorkerId
from modiste.store.tables import Phase
from modiste.types import Actor, EvalCounts, EvalRun, EvalStatus, File, Model, Purpose, Scope

HERE = WorkerId.of_this_process()
S = EvalStatus
ROWS = [{"country": f"c{n}", "capital": f"C{n}"} for n in range(3)]
Send = Callable[..., File]
Make = Callable[..., tuple[EvalRun, ...]]


@pytest.fixture
def rows_file(database: Database, admin: Actor) -> Send:
    def send(*rows: Any, actor: Actor = admin, **options: Any) -> File:
        chunks = [json.dumps(row).encode() + b"\n" for row in rows or ROWS]
        options = {"filename": "rows.jsonl", "purpose": Purpose.EVALS, **options}
        return files.add(database, actor, chunks=chunks, **options)

    return send


@pytest.fixture
def make(database: Database, admin: Actor, rows_file: Send) -> Make:
    """`make(actor, subjects=…, **changes)` of a suite with one subject."""

    def create(
        actor: Actor = admin, *, subjects: list[str] | None = None, **changes: Any
    ) -> tuple[EvalRun, ...]:
        if "dataset" not in changes:
            changes["dataset"] = {"file_id": rows_file(actor=actor).id, "reference": "{{capital}}"}
        spec = {
            "name": "capitals",
            "prompt": "Capital of {{country}}?",
            "models": {"base": {"model": "modiste-tiny"}},
            "scorers": ["exact"],
            **changes,
        }
        return evaluations.create(database, actor, spec=spec, subjects=subjects)

    return create


def look(database: Database, actor: Actor, run: EvalRun) -> EvalRun:
    with database.transaction(write=False) as tx:
        return evaluations.get(tx, actor, run.id)


def take(database: Database) -> EvalTask:
    with database.transaction() as tx:
        claim = queue.claim(tx, HERE, {Phase.EVALUATE})
        assert claim is not None
        return eval_runs.taken(tx, claim)


def sample(n: int, *, failed: bool = False) -> Sample:
    failure = Failure("timeout", "late") if failed else None
    answer = Answer(f"C{n}", failure=failure)
    return Sample(Item(f"r{n}", {}), 0, (), answer, {} if failed else {"exact": scored(1.0)})


def end(
    database: Database, *samples: Sample, total: int = 3, whole: bool = True, **changes: Any
) -> EvalRun:
    """A worker takes the next run and ends it with these samples."""
    task = take(database)
    content = b"".join(SAMPLES.dump_json(each) + b"\n" for each in samples)
    sha256 = database.blobs.put_bytes(content).sha256 if samples else None
    n_failed = sum(each.answer.failure is not None for each in samples)
    outcome = Outcome(
        counts=EvalCounts(total=total, done=len(samples), failed=n_failed),
        samples_sha256=sha256,
        record={"primary": "exact.mean"} if whole else None,
        **changes,
    )
    with database.transaction() as tx:
        return eval_runs.record_ended(tx, task.claim, outcome)


def act(database: Database, verb: Callable[..., Any], actor: Actor, run: EvalRun) -> Any:
    with database.transaction() as tx:
        return verb(tx, actor, run.id)


def test_each_model_of_a_suite_is_a_run_in_the_queue(
    database: Database, admin: Actor, make: Make
) -> None:
    subjects = {"base": {"model": "modiste-tiny"}, "told": {"model": "modiste-tiny", "system": "x"}}
    first, second = make(models=subjects)
    assert [run.subject for run in (first, second)] == ["base", "told"]
    assert first.group == second.group is not None
    assert (first.status, first.suite, first.model_id) == (S.QUEUED, "capitals", "modiste-tiny")
    [only] = make(models=subjects, subjects=["told", "told"])
    assert only.subject == "told"
    task = take(database)
    assert task.run.id == first.id
    assert task.actor == Actor(admin.key_id, admin.org, admin.scopes)
    [(name, sha256)] = task.blobs.values()
    assert name == "rows.jsonl"
    assert json.loads(next(iter(b"".join(database.blobs.open(sha256)).splitlines()))) == ROWS[0]


def test_everything_wrong_is_told_at_once(make: Make, rows_file: Send) -> None:
    with pytest.raises(InvalidInput) as refused:
        make(
            dataset={"file_id": "gone"},
            models={
                "a": {"model": "nobody"},
                "b": {"model": "modiste-tiny", "shots": {"file_id": "lost"}},
            },
        )
    for part in ("dataset.file_id: no file 'gone'", "shots.file_id: no file 'lost'", "nobody"):
        assert part in refused.value.message
    with pytest.raises(InvalidInput, match="did you mean 'prompt'"):
        make(promt="x")
    with pytest.raises(InvalidInput, match="'other' is none of them"):
        make(subjects=["other"])


def test_every_bad_row_is_told_with_its_line_and_nothing_is_queued(
    database: Database, admin: Actor, make: Make, rows_file: Send
) -> None:
    file = rows_file(ROWS[0], [1], {"country": "c"}, {"capital": "C"})
    with pytest.raises(InvalidInput) as refused:
        make(dataset={"file_id": file.id, "reference": "{{capital}}"})
    assert [(p.file, p.line) for p in refused.value.problems] == [
        ("rows.jsonl", 2),
        ("rows.jsonl", 3),
    ]
    with database.transaction(write=False) as tx:
        assert evaluations.list_(tx, admin).total == 0


@pytest.mark.parametrize("path", ["/etc/passwd", "../secret.jsonl", "rows.jsonl"])
def test_the_server_reads_no_paths(make: Make, path: str) -> None:
    for place in (path, {"path": path}):
        with pytest.raises(InvalidInput, match=r"dataset\.file_id is missing.*no paths"):
            make(dataset=place)


def test_a_name_of_an_uploaded_file_never_becomes_a_path(
    database: Database, make: Make, rows_file: Send
) -> None:
    file = rows_file(filename="../../../etc/x.jsonl")
    make(dataset={"file_id": file.id})
    [(_, sha256)] = take(database).blobs.values()
    cache = database.settings.cache_dir / "blobs"
    assert sha256 in str(database.blobs.local(sha256, cache))
    assert ".." not in str(database.blobs.local(sha256, cache))


def test_a_key_needs_to_infer(database: Database, admin: Actor, make: Make) -> None:
    with database.transaction() as tx:
        data = keys.authenticate(tx, keys.create(tx, admin, name="d", scopes=["data"]).secret)
    [run] = make()
    with pytest.raises(Forbidden):
        evaluations.create(database, data, spec=run.spec)
    for verb in (evaluations.get, evaluations.cancel, evaluations.resume, evaluations.delete):
        with pytest.raises(Forbidden):
            act(database, verb, data, run)


def test_runs_are_listed_filtered_and_paged(database: Database, admin: Actor, make: Make) -> None:
    [first] = make()
    [second] = make(name="rivers")
    [third] = make()

    def ids(**asked: Any) -> list[str]:
        with database.transaction(write=False) as tx:
            return [run.id for run in evaluations.list_(tx, admin, **asked).items]

    assert ids() == [third.id, second.id, first.id]
    assert ids(suite="capitals") == [third.id, first.id]
    assert ids(model="modiste-tiny", page=1, page_size=2) == [first.id]
    assert ids(group=second.group) == [second.id]
    assert ids(status=[S.SUCCESS]) == ids(status=[]) == ids(model="x") == []


def test_a_run_is_found_by_the_beginning_of_its_id(
    database: Database, admin: Actor, make: Make
) -> None:
    [run] = make()
    with database.transaction(write=False) as tx:
        assert evaluations.get(tx, admin, run.id[:8]).id == run.id
        for unknown in ("00000000", run.id[:5], "%" * 8, "_" * 8, "", run.id + "x"):
            with pytest.raises(NotFound, match="modiste eval list"):
                evaluations.get(tx, admin, unknown)
    make()
    with database.transaction() as tx:
        for n, row in enumerate(tx.session.scalars(sa.select(EvalRunRow)).all()):
            row.id = f"abcdefgh-{n}"
    with database.transaction(write=False) as tx, pytest.raises(NotFound, match="Several runs"):
        evaluations.get(tx, admin, "abcdefgh")


def test_a_run_of_another_organisation_is_not_there(
    database: Database, admin: Actor, make: Make
) -> None:
    [run] = make()
    stranger = Actor("key_x", "ffffffff", frozenset({Scope.ADMIN}))
    with pytest.raises(NotFound):
        act(database, evaluations.get, stranger, run)
    with database.transaction(write=False) as tx:
        assert evaluations.list_(tx, stranger).total == 0


def test_an_alias_that_is_switched_does_not_change_a_run(
    database: Database, admin: Actor, make: Make, tune: Callable[..., Model], upload: Send
) -> None:
    tuned = tune(upload())
    with database.transaction() as tx:
        aliases.set_(tx, admin, "support-bot", tuned.id)
    [run] = make(models={"bot": {"model": "support-bot"}})
    with database.transaction() as tx:
        aliases.set_(tx, admin, "support-bot", "modiste-tiny")
    run = look(database, admin, run)
    assert (run.model, run.model_id) == ("support-bot", tuned.id)
    assert take(database).run.model_id == tuned.id


def test_a_run_nobody_began_is_cancelled_at_once(
    database: Database, admin: Actor, make: Make
) -> None:
    [run] = make()
    for _ in range(2):
        assert act(database, evaluations.cancel, admin, run).status is S.CANCELLED
    with database.transaction() as tx:
        assert queue.claim(tx, HERE, {Phase.EVALUATE}) is None


def test_a_cancelled_run_keeps_its_samples_and_goes_on_with_them(
    database: Database, admin: Actor, make: Make
) -> None:
    [run] = make()
    task = take(database)
    assert act(database, evaluations.cancel, admin, run).status is S.CANCELLATION_REQUESTED
    for refused in (evaluations.delete, evaluations.resume):
        with pytest.raises(Conflict):
            act(database, refused, admin, run)
    content = SAMPLES.dump_json(sample(0)) + b"\n"
    kept = database.blobs.put_bytes(content).sha256
    with database.transaction() as tx:
        outcome = Outcome(EvalCounts(total=3, done=1), kept)
        ended = eval_runs.record_ended(tx, task.claim, outcome)
    assert (ended.status, ended.error, ended.counts.done) == (S.CANCELLED, None, 1)
    with database.transaction(write=False) as tx:
        assert b"".join(evaluations.samples(tx, admin, run.id)) == content
    again = act(database, evaluations.resume, admin, run)
    assert (again.status, again.finished_at, again.counts.done) == (S.QUEUED, None, 1)
    assert take(database).blobs[SAMPLES_NAME] == ("samples.jsonl", kept)


def test_a_run_that_ended_well_is_resumed_for_answers_that_failed_alone(
    database: Database, admin: Actor, make: Make
) -> None:
    [whole] = make()
    end(database, *map(sample, range(3)))
    with pytest.raises(BadRequest, match="has its answer"):
        act(database, evaluations.resume, admin, whole)
    with pytest.raises(BadRequest, match="SUCCESS already"):
        act(database, evaluations.cancel, admin, whole)
    [holey] = make()
    end(database, sample(0), sample(1, failed=True), sample(2))
    again = act(database, evaluations.resume, admin, holey)
    assert (again.status, again.record, again.metrics) == (S.QUEUED, None, ())


def test_a_run_without_samples_says_so(database: Database, admin: Actor, make: Make) -> None:
    [run] = make()
    with pytest.raises(NotFound, match="QUEUED and has no samples"):
        act(database, evaluations.samples, admin, run)
    with pytest.raises(BadRequest, match="only a run that ended with SUCCESS"):
        act(database, evaluations.load, admin, run)
    with pytest.raises(BadRequest, match="QUEUED with 0 of 0 answers"):
        evaluations.rescore(database, admin, run.id)


def test_answers_are_graded_anew_by_a_run_that_asks_nothing(
    database: Database, admin: Actor, make: Make
) -> None:
    [run] = make(primary="exact.mean")
    done = end(database, *map(sample, range(3)))
    new = evaluations.rescore(
        database, admin, run.id, spec={"scorers": [{"kind": "exact", "name": "strict"}]}
    )
    assert (new.source, new.group, new.model_id) == (run.id, run.group, run.model_id)
    assert (new.spec["scorers"][0]["name"], new.spec["primary"]) == ("strict", None)
    assert new.spec["prompt"] == run.spec["prompt"]
    assert take(database).blobs[SAMPLES_NAME] == ("samples.jsonl", done.samples_sha256)
    assert evaluations.rescore(database, admin, run.id).spec == run.spec


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"scorers": ["exakt"]}, "exakt"),
        ({}, "scorers"),
        ({"scorers": ["exact"], "primary": "gone"}, "primary is 'gone'"),
    ],
)
def test_scorers_that_are_wrong_are_refused_before_anything_is_graded(
    database: Database, admin: Actor, make: Make, spec: dict[str, Any], said: str
) -> None:
    [run] = make()
    end(database, *map(sample, range(3)))
    with pytest.raises(InvalidInput, match=said):
        evaluations.rescore(database, admin, run.id, spec=spec)


def test_a_run_with_answers_missing_is_resumed_before_it_is_graded_anew(
    database: Database, admin: Actor, make: Make
) -> None:
    [run] = make()
    end(database, sample(0), whole=False)
    with pytest.raises(BadRequest, match=r"1 of 3 answers.*modiste eval resume"):
        evaluations.rescore(database, admin, run.id)


def test_grading_anew_needs_neither_the_model_nor_the_file(
    database: Database, admin: Actor, make: Make, tune: Callable[..., Model], upload: Send,
    rows_file: Send,
) -> None:  # fmt: skip
    tuned, file = tune(upload()), rows_file()
    [run] = make(models={"bot": {"model": tuned.id}}, dataset={"file_id": file.id})
    end(database, *map(sample, range(3)))
    with database.transaction() as tx:
        models.delete(tx, admin, tuned.id)
        files.delete(tx, admin, file.id)
    assert evaluations.rescore(database, admin, run.id).model_id == tuned.id


def test_a_rescoring_that_was_cut_short_still_has_all_answers_of_its_source(
    database: Database, admin: Actor, make: Make
) -> None:
    [run] = make()
    source = end(database, *map(sample, range(3)))
    anew = evaluations.rescore(database, admin, run.id)
    end(database, sample(0), whole=False)
    act(database, evaluations.resume, admin, anew)
    assert take(database).blobs[SAMPLES_NAME] == ("samples.jsonl", source.samples_sha256)


def test_a_rescoring_never_asks_what_its_source_has_no_answer_to(
    database: Database, admin: Actor, make: Make
) -> None:
    [run] = make()
    answers = (sample(0), sample(1, failed=True), sample(2))
    end(database, *answers)
    anew = evaluations.rescore(database, admin, run.id)
    end(database, *answers)
    with pytest.raises(BadRequest, match="has its answer"):
        act(database, evaluations.resume, admin, anew)


def test_samples_of_a_private_dataset_are_for_its_key_alone(
    database: Database, admin: Actor, other: Actor, make: Make, rows_file: Send
) -> None:
    with database.transaction() as tx:
        made = keys.create(tx, admin, name="third", scopes=["infer", "data"])
        third = keys.authenticate(tx, made.secret)
    file = rows_file(actor=other, visibility="user")
    data = {"file_id": file.id}
    with pytest.raises(InvalidInput, match="no file"):
        make(third, dataset=data)
    [run] = make(other, dataset=data)
    end(database, *map(sample, range(3)))
    for actor in (other, admin):
        assert act(database, evaluations.samples, actor, run)
    anew = evaluations.rescore(database, other, run.id)
    end(database, *map(sample, range(3)))
    for each in (run, anew):
        for verb in (evaluations.samples, evaluations.load, evaluations.resume):
            with pytest.raises(Forbidden, match="for another key alone"):
                act(database, verb, third, each)
        with pytest.raises(Forbidden):
            evaluations.rescore(database, third, each.id)


def test_a_run_of_a_revoked_key_goes_on_in_the_name_of_who_resumes_it(
    database: Database, admin: Actor, other: Actor, make: Make
) -> None:
    [run] = make(other)
    end(database, sample(0), whole=False, error=eval_runs.KEY_GONE)
    assert act(database, evaluations.resume, admin, run).created_by == other.key_id
    end(database, sample(0), whole=False, error=eval_runs.KEY_GONE)
    with database.transaction() as tx:
        keys.revoke(tx, admin, other.key_id)
    assert act(database, evaluations.resume, admin, run).created_by == admin.key_id
    assert take(database).actor.scopes == admin.scopes


def test_a_deleted_run_is_gone(database: Database, admin: Actor, make: Make) -> None:
    [run] = make()
    end(database, *map(sample, range(3)))
    act(database, evaluations.delete, admin, run)
    with pytest.raises(NotFound):
        act(database, evaluations.get, admin, run)


def test_samples_are_read_line_by_line() -> None:
    lines = b"".join(SAMPLES.dump_json(sample(n)) + b"\n" for n in range(3)) + b"\n"
    assert evaluations.samples_in(lines) == [sample(n) for n in range(3)]


def test_scorers_that_run_code_are_brought_by_admins_alone(
    database: Database, admin: Actor, make: Make
) -> None:
    code = {"kind": "python", "source": "def score(item, answer):\n    return 1.0\n"}
    grader = {"type": "python", "name": "p", "source": "def grade(sample, item):\n    return 1.0\n"}
    with database.transaction() as tx:
        made = keys.create(tx, admin, name="user", scopes=["infer", "data"])
        user = keys.authenticate(tx, made.secret)
    for scorer in (code, {"kind": "openai", "grader": grader}):
        with pytest.raises(Forbidden, match=r"runs Python code on the server"):
            make(user, scorers=[scorer])
        assert make(admin, scorers=[scorer])[0].status is S.QUEUED
    (run,) = make(user)
    with pytest.raises(Forbidden):
        evaluations.rescore(database, user, run.id, spec={"scorers": [code]})


def test_other_policies_than_the_attached_ones_are_for_admins_and_must_exist(
    database: Database, admin: Actor, make: Make
) -> None:
    with database.transaction() as tx:
        made = keys.create(tx, admin, name="user", scopes=["infer", "data"])
        user = keys.authenticate(tx, made.secret)
    for policies in ([], ["default"]):
        models = {"raw": {"model": "modiste-tiny", "policies": policies}}
        with pytest.raises(Forbidden, match="in place of the policies"):
            make(user, models=models)
        assert make(admin, models=models)[0].status is S.QUEUED
    with pytest.raises(InvalidInput, match=r"models\.raw\.policies: .*gone"):
        make(admin, models={"raw": {"model": "modiste-tiny", "policies": ["gone"]}})
