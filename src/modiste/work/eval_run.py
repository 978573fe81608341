"""The child that runs an evaluation: it asks the model through our own actions, and grades.

    python -m modiste.work.eval_run RUN_DIR

Requests are sent in the name of the key that asked for the run, under another owner, so that they
take nothing from what that key asks in person. A sample is in the journal before it is counted, and
what is there is not asked again; figures are computed from the journal alone, so that they are
those of the stored samples. A model that fails many times in a row without an answer in between
ends the run: what it has is kept, and it can be resumed.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from modiste import __version__
from modiste import settings as settings_module
from modiste.actions import evaluations, models
from modiste.actions.eval_models import AskedModels
from modiste.actions.inference import Renderers, Serving
from modiste.errors import InvalidInput, ModisteError, NotFound
from modiste.evaluate.asking import prompt_sha256
from modiste.evaluate.dataset import sha256_of
from modiste.evaluate.items import SAMPLES, Item, Models, Sample, line_of
from modiste.evaluate.judges.judge import with_kin
from modiste.evaluate.judges.kept import KeptReplies
from modiste.evaluate.metric import METRICS, Metric
from modiste.evaluate.planned import planned
from modiste.evaluate.record import RECORD, Record
from modiste.evaluate.run import AT_ONCE, Place, Plan, metrics_of, rescored, run
from modiste.evaluate.scorer import Scorer
from modiste.evaluate.scorers.refusal import BLOCKED, blocked
from modiste.evaluate.suite import Suite
from modiste.prepare.checked import checked
from modiste.serve.stream import EngineStream
from modiste.serve.upstream import Engines, Upstreams
from modiste.settings import Settings
from modiste.store.database import Database
from modiste.types import Actor, EvalCounts, JobError
from modiste.work import journal as journals
from modiste.work.child import EXIT_LOCKED, locked
from modiste.work.evaluation import (
    REQUEST,
    REQUESTS,
    Request,
    State,
    read_state,
    write_state,
)
from modiste.work.journal import Journal, Sign
from modiste.work.judge_replies import JudgeReplies

log = logging.getLogger("modiste.evaluation")
LOOK_S = 0.2
SYNC_S = 0.5
SWITCH_S = 0.0005
MAX_FAILURES_IN_A_ROW = 50
"""Without one answer among them: what is wrong is not the items."""
OF_THE_ITEM = frozenset({"prompt_invalid", "context_length_exceeded", BLOCKED})
"""Failures that say nothing about the next item."""


class Stopped(Exception):
    """The run is over before its end: paused, cancelled, or nothing answers."""


@dataclass
class Progress:
    """Samples as they come: into the journal, the counts, and what ends a run early."""

    run_dir: Path
    journal: Journal
    places: dict[Place, int]
    """Each sample's place in the file."""
    counts: EvalCounts
    done: set[Place] = field(default_factory=set)
    failures_in_a_row: int = 0
    error: JobError | None = None

    def keep(self, sample: Sample) -> None:
        """
        Raises:
            Stopped: nothing answers any more.
        """
        place = self.places[sample.item.key, sample.attempt]
        self.journal.append(place, Sign.SUCCEEDED, line_of(sample))
        self.take(sample)
        failure = sample.answer.failure
        if failure is None:
            self.failures_in_a_row = 0
        elif failure.code not in OF_THE_ITEM:
            self.failures_in_a_row += 1
        if failure is not None and self.failures_in_a_row >= MAX_FAILURES_IN_A_ROW:
            # Others end in the same moment: the first to see it says why.
            self.error = self.error or JobError(
                failure.code,
                f"{self.failures_in_a_row} requests in a row had no answer, the last one because: "
                f"{failure.message.rstrip('.')}. Samples so far are kept; `modiste eval resume` "
                "goes on.",
            )
            raise Stopped

    def take(self, sample: Sample) -> None:
        answer = sample.answer
        self.done.add((sample.item.key, sample.attempt))
        self.counts = replace(
            self.counts,
            done=self.counts.done + 1,
            failed=self.counts.failed + (answer.failure is not None and not blocked(answer)),
            prompt_tokens=self.counts.prompt_tokens + answer.prompt_tokens,
            completion_tokens=self.counts.completion_tokens + answer.completion_tokens,
            cost_micro=self.counts.cost_micro + (answer.cost_micro or 0),
        )

    async def tell(self) -> None:
        """The counts, once they are on the disk."""
        told = None
        while True:
            if told != self.counts:
                told = self.counts
                await asyncio.to_thread(self.journal.sync)
                write_state(self.run_dir, State(told, running=True))
            await asyncio.sleep(SYNC_S)


async def evaluate(request: Request, run_dir: Path, settings: Settings) -> None:
    """Ask, grade, and say in STATE what it came to."""
    suite = checked(Suite, request.run.spec, file="suite")
    plan = planned(suite, request.run.subject, request.files, request.names)
    database = Database(settings)
    engine, upstreams = EngineStream(settings.process_dir), Upstreams(settings)
    replies = JudgeReplies(settings.cache_dir)
    started = datetime.now(UTC)
    try:
        model = await asyncio.to_thread(_answerer, database, request)
        plan = replace(plan, asking=replace(plan.asking, model=model.model_id))
        serving = Serving(database, Engines(engine, upstreams), Renderers(), upstreams)
        users = AskedModels(serving, _beside(request.actor), answers=lambda: _answers(engine))
        asked = KeptReplies(users, replies, revision=users.revision)
        progress = _begun(request, run_dir, plan)
        try:
            whole = await _carry_out(request, plan, progress, asked)
        finally:
            progress.journal.close()
            for scorer in plan.scorers:
                scorer.close()
        if not whole and (run_dir / "pause").exists():
            return
        said = State(progress.counts, running=True, ended=True, error=progress.error)
        if whole:
            kept = run_dir / journals.NAME
            metrics = await asyncio.to_thread(lambda: metrics_of(plan.scorers, for_figures(kept)))
            metrics = with_kin(metrics, suite.scorers, model.model_id)
            record = _record(request, suite, plan, model, metrics, started)
            said = replace(
                said,
                record=RECORD.dump_python(record, mode="json"),
                metrics=tuple(METRICS.dump_python(metrics, mode="json")),
            )
        write_state(run_dir, said)
    finally:
        replies.close()
        await upstreams.close()
        await engine.close()
        database.close()


async def _carry_out(request: Request, plan: Plan, progress: Progress, asked: Models) -> bool:
    """Whether every sample is there."""
    done = frozenset(progress.done)
    if request.run.source is None:
        work = run(plan, asked, progress.keep, done=done, at_once=AT_ONCE)
    else:
        left = [s for s in _earlier(request) if (s.item.key, s.attempt) not in done]
        work = rescored(plan.scorers, left, asked, progress.keep, at_once=AT_ONCE)
    working = asyncio.create_task(_quiet(work))
    telling = asyncio.create_task(progress.tell())
    stopping = asyncio.create_task(_until_stopped(progress.run_dir))
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    finally:
        for task in (working, telling, stopping):
            task.cancel()
        await asyncio.gather(working, telling, stopping, return_exceptions=True)
    return progress.counts.done == progress.counts.total


async def _quiet(work: Any) -> None:
    """A run that stopped itself has said why; of what broke it, the first cause is raised."""
    try:
        await work
    except ExceptionGroup as group:
        broken = group.split(Stopped)[1]
        if broken is not None:
            raise _first(broken) from None


def _first(group: BaseException) -> BaseException:
    return _first(group.exceptions[0]) if isinstance(group, BaseExceptionGroup) else group


async def _until_stopped(run_dir: Path) -> None:
    while not any((run_dir / word).exists() for word in ("pause", "cancel")):
        await asyncio.sleep(LOOK_S)


async def _answers(engine: EngineStream) -> bool:
    try:
        await engine.status()
    except ModisteError:
        return False
    return True


def _begun(request: Request, run_dir: Path, plan: Plan) -> Progress:
    """What an earlier child, or the run that is resumed, left: samples that need not be asked."""
    items: Sequence[Item] = plan.items
    places = {
        (item.key, attempt): at * plan.attempts + attempt
        for at, item in enumerate(items)
        for attempt in range(plan.attempts)
    }
    path = run_dir / journals.NAME
    if not path.exists() and request.run.source is None and request.earlier is not None:
        _take_over(request, path, places)
    progress = Progress(run_dir, Journal(path), places, EvalCounts(total=plan.n_samples))
    for sample in samples_in(path):
        progress.take(sample)
    return progress


def samples_in(path: Path) -> Iterator[Sample]:
    """The samples of a journal, each once."""
    seen: set[int] = set()
    for entry in journals.entries(path):
        if entry.place not in seen:
            seen.add(entry.place)
            yield SAMPLES.validate_json(entry.json)


def for_figures(path: Path) -> list[Sample]:
    """All samples without their prompts: figures never look at those, often most of a sample."""
    return [replace(sample, prompt=()) for sample in samples_in(path)]


def _take_over(request: Request, path: Path, places: dict[Place, int]) -> None:
    """The answers of the run that is resumed; those that failed are asked again."""
    beside = path.with_suffix(".new")
    beside.unlink(missing_ok=True)
    taken = Journal(beside)
    for sample in _earlier(request):
        place = places.get((sample.item.key, sample.attempt))
        answered = sample.answer.failure is None or blocked(sample.answer)
        if place is not None and answered:
            taken.append(place, Sign.SUCCEEDED, line_of(sample))
    taken.close()
    beside.replace(path)


def _earlier(request: Request) -> Iterator[Sample]:
    if request.earlier is None:
        return
    with request.earlier.open("rb") as lines:
        for line in lines:
            if line.strip():
                yield SAMPLES.validate_json(line)


class Answerer(NamedTuple):
    """Whose answers a run grades."""

    model_id: str
    version: str
    parity_passed: bool | None


def _answerer(database: Database, request: Request) -> Answerer:
    """The model of the run; of stored answers, the one that gave them, be it there or not.

    Raises:
        NotFound, BadRequest: it is gone or archived.
    """
    with database.transaction(write=False) as tx:
        if request.run.source is not None:
            with suppress(NotFound):
                if (
                    told := evaluations.get(tx, request.actor, request.run.source).record
                ) is not None:
                    then = RECORD.validate_python(told)
                    return Answerer(then.model_id, then.model_version, then.parity_passed)
        model = models.resolve(tx, request.actor, request.run.model_id)
    version = model.adapter.version if model.adapter else model.id
    return Answerer(model.id, version, None if model.parity is None else model.parity.passed)


def _beside(actor: Actor) -> Actor:
    return replace(actor, key_id=f"eval/{actor.key_id}")


def _record(
    request: Request,
    suite: Suite,
    plan: Plan,
    model: Answerer,
    metrics: Sequence[Metric],
    started: datetime,
) -> Record:
    return Record(
        run_id=request.run.id,
        suite=suite.name,
        subject=request.run.subject,
        model=request.run.model,
        model_id=model.model_id,
        model_version=model.version,
        dataset_sha256=sha256_of(plan.items),
        n_items=len(plan.items),
        prompt_sha256=prompt_sha256(suite, suite.models[request.run.subject]),
        attempts=plan.attempts,
        sampling=plan.asking.sampling.model_dump(mode="json"),
        scorers={scorer.name: scorer.identity for scorer in plan.scorers},
        primary=_primary(suite, plan.scorers, metrics),
        code_version=__version__,
        started_at=started,
        finished_at=datetime.now(UTC),
        parity_passed=model.parity_passed,
        said_before=suite.models[request.run.subject].said_before,
        concurrency=AT_ONCE,
        details={"packages": {name: version(name) for name in ("numpy", "scipy", "pydantic")}},
    )


def _primary(suite: Suite, scorers: Sequence[Scorer], metrics: Sequence[Metric]) -> str:
    """`SCORER.METRIC` of what decides.

    Raises:
        InvalidInput: no figure of this name came of it.
    """
    wanted = suite.primary or scorers[0].name
    found = [metric.id for metric in metrics if wanted in (metric.id, metric.scorer)]
    if not found:
        raise InvalidInput(
            f"primary is {wanted!r}; the figures are {', '.join(m.id for m in metrics)}. The "
            "answers are kept: name one of these in the suite and `modiste eval rescore ID --suite "
            "FILE` grades them with it",
            param="primary",
        )
    return found[0]


def main(argv: list[str] | None = None) -> int:
    (run_dir,) = map(Path, sys.argv[1:] if argv is None else argv)
    # Scorers compute in threads: a loop that waits for each of them 5 ms lets the engine go idle.
    sys.setswitchinterval(SWITCH_S)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for chatty in ("alembic", "httpx"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    with locked(run_dir / "eval.lock") as mine:
        if not mine:
            log.error("another process runs the evaluation in %s", run_dir)
            return EXIT_LOCKED
        request = REQUESTS.validate_json((run_dir / REQUEST).read_bytes())
        try:
            asyncio.run(evaluate(request, run_dir, settings_module.load()))
        except ModisteError as error:
            told = JobError(error.error_code, error.message, error.param, error.problems)
            write_state(run_dir, replace(read_state(run_dir), ended=True, error=told))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
