"""The child that runs a batch: each line is answered as its own request would be, once."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from scripted import ScriptedEngine, settings_for

from modiste import settings as settings_module
from modiste.actions import keys
from modiste.actions.batch_lines import ENDPOINTS, Input
from modiste.api import batch_run
from modiste.api.app import _open, build_app
from modiste.api.dialect import MOUNTS
from modiste.serve.sequence import Failed, FailureCode
from modiste.store.database import Database
from modiste.types import Actor, BatchCounts, Scope
from modiste.work.batch import Request, State, read_state
from modiste.work.journal import NAME, Journal, Sign, assemble, entries

CHAT = "/v1/chat/completions"
BATCH_ID = "20178c3c-d75b-4c3e-9f0a-000000000001"


def body(text: str = "hi", **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], "max_tokens": 3, **more}


@dataclass
class Home:
    """A batch in a home of its own, run by hand."""

    settings: settings_module.Settings
    actor: Actor
    engine: ScriptedEngine
    run_dir: Path
    dialect: str = "mistral"
    model: str | None = "modiste-tiny"
    deadline: float = 4e9

    def write(self, *lines: dict[str, Any]) -> None:
        path = self.run_dir / "in.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))

    def run(self) -> State:
        request = Request(
            BATCH_ID,
            CHAT,
            self.dialect,
            self.model,
            (Input("in.jsonl", self.run_dir / "in.jsonl"),),
            self.actor,
            self.deadline,
        )
        app = build_app(self.settings, engine=self.engine)  # type: ignore[arg-type]
        asyncio.run(asyncio.wait_for(batch_run.run(request, self.run_dir, app), 60))
        return read_state(self.run_dir)

    def results(self, n: int) -> tuple[list[Any], list[Any]]:
        files = assemble(self.run_dir / NAME, self.run_dir, n_requests=n)
        lines = [
            [json.loads(x) for x in p.open()] if p else [] for p in (files.output, files.errors)
        ]
        return lines[0], lines[1]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> tuple[settings_module.Settings, Actor]:
    settings = settings_for(tmp_path_factory.mktemp("home"), batch_concurrency=3)
    database: Database = _open(settings)
    with database.transaction(write=False) as tx:
        actor = keys.authenticate(tx, settings.admin_key_file.read_text().strip())
    database.close()
    return settings, actor


@pytest.fixture
def home(opened: tuple[settings_module.Settings, Actor], tmp_path: Path) -> Home:
    settings, actor = opened
    return Home(settings, actor, ScriptedEngine(text="Hello there."), tmp_path)


def lines(n: int) -> list[dict[str, Any]]:
    return [{"custom_id": f"c{i}", "body": body()} for i in range(n)]


def test_each_line_is_answered_by_its_route_and_refusals_are_results(home: Home) -> None:
    wrong = {"custom_id": "wrong", "body": body(top_p=7)}
    home.write(*lines(3), wrong, {"custom_id": "last", "body": body()})
    state = home.run()
    assert (state.ended, state.running, state.refused) == (True, True, None)
    assert (state.counts.total, state.counts.succeeded, state.counts.failed) == (5, 4, 1)
    assert state.counts.output_tokens == 12
    good, bad = home.results(5)
    assert [line["custom_id"] for line in good] == ["c0", "c1", "c2", "last"]
    assert all(line["response"]["status_code"] == 200 for line in good)
    answer = good[0]["response"]["body"]
    assert (answer["object"], answer["model"]) == ("chat.completion", "modiste-tiny")
    assert [line["response"]["status_code"] for line in bad] == [422]
    assert bad[0]["response"]["body"]["detail"][0]["loc"] == ["body", "top_p"]


def test_openai_reads_its_own_words_in_results(home: Home) -> None:
    home.dialect, home.model = "openai", None
    line = {"method": "POST", "url": CHAT}
    home.write(
        {**line, "custom_id": "a", "body": body(model="modiste-tiny", max_tokens=None)},
        {**line, "custom_id": "b", "body": body(model="open-mistral-7b", temperature=9)},
    )
    home.run()
    good, bad = home.results(2)
    assert len(good[0]["response"]["request_id"]) == 32
    assert bad[0]["response"]["status_code"] == 400
    assert bad[0]["response"]["body"]["error"]["param"] == "temperature"


def test_lines_with_problems_stop_it_before_the_first_request(home: Home) -> None:
    home.write({"custom_id": "a", "body": body()}, {"custom_id": "a", "body": body(model="x")})
    state = home.run()
    assert state.refused is not None
    assert [p.code for p in state.refused.problems] == ["duplicate_custom_id", "model_mismatch"]
    assert home.engine.asked == []


def test_what_an_earlier_child_answered_is_not_asked_again(home: Home) -> None:
    home.write(*lines(4))
    journal = Journal(home.run_dir / NAME)
    told = {"response": {"body": {"usage": {"prompt_tokens": 5, "completion_tokens": 9}}}}
    journal.append(2, Sign.SUCCEEDED, json.dumps({"custom_id": "kept", **told}).encode())
    journal.append(0, Sign.FAILED, b'{"custom_id": "failed"}')
    journal.close()
    state = home.run()
    assert len(home.engine.asked) == 2
    assert (state.counts.succeeded, state.counts.failed) == (3, 1)
    assert state.counts.output_tokens == 9 + 2 * 3
    good, bad = home.results(4)
    assert [line["custom_id"] for line in good] == ["c1", "kept", "c3"]
    assert [line["custom_id"] for line in bad] == ["failed"]


def test_no_more_than_a_few_requests_run_at_once(home: Home) -> None:
    home.engine = Counting(pause_s=0.01)
    home.write(*lines(12))
    assert home.run().counts.succeeded == 12
    assert home.engine.most == 3


def test_a_full_or_restarting_engine_is_waited_for(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_run, "LONGEST_WAIT_S", 0.01)
    home.engine = Refusing(codes=[FailureCode.BUSY] * 9 + [FailureCode.RESTARTING] * 2)
    home.write(*lines(1))
    state = home.run()
    assert (state.counts.succeeded, state.counts.failed) == (1, 0)
    assert len(home.engine.asked) == 12


def test_a_request_that_is_never_answered_fails_and_the_others_go_on(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_run, "LONGEST_WAIT_S", 0.01)
    home.engine = Refusing(codes=[FailureCode.RESTARTING] * batch_run.MAX_TRIES)
    home.settings = home.settings.model_copy(update={"batch_concurrency": 1})
    home.write(*lines(3))
    state = home.run()
    assert (state.counts.succeeded, state.counts.failed) == (2, 1)
    _, bad = home.results(3)
    assert (bad[0]["custom_id"], bad[0]["response"]["status_code"]) == ("c0", 503)


def test_a_cancelled_batch_keeps_what_is_done_and_names_what_is_not(home: Home) -> None:
    home.engine = Stopping(home.run_dir, after=4, how="cancel")
    home.write(*lines(50))
    state = home.run()
    assert state.ended
    done = state.counts.completed
    assert 4 <= done < 50
    good, bad = home.results(50)
    assert (len(good), len(bad)) == (done, 50 - done)
    assert {line["error"]["code"] for line in bad} == {"batch_cancelled"}
    assert bad[-1]["custom_id"] == "c49"
    assert len(home.engine.aborted) > 0, "what ran when it was cancelled goes on in the engine"


@pytest.mark.slow
def test_a_paused_batch_leaves_the_rest_to_the_next_child(home: Home) -> None:
    home.engine = Stopping(home.run_dir, after=4, how="pause")
    home.write(*lines(30))
    assert not home.run().ended
    (home.run_dir / "pause").unlink()
    done = {entry.place for entry in entries(home.run_dir / NAME)}
    assert 4 <= len(done) < 30
    home.engine = ScriptedEngine()
    assert home.run().counts == BatchCounts(30, 30, 0, 150, 90)
    assert len(home.engine.asked) == 30 - len(done)
    good, _ = home.results(30)
    assert [line["custom_id"] for line in good] == [f"c{i}" for i in range(30)]


@pytest.mark.slow
def test_what_did_not_run_in_time_says_so(home: Home) -> None:
    home.engine = ScriptedEngine(pause_s=0.2)
    home.write(*lines(40))
    home.deadline = time.time() + 2.5
    state = home.run()
    assert state.ended
    _, bad = home.results(40)
    assert len(bad) == 40 - state.counts.completed > 0
    assert {line["error"]["code"] for line in bad} == {"batch_expired"}


def test_requests_are_sent_with_what_the_key_may_do(home: Home) -> None:
    home.actor = replace(home.actor, scopes=frozenset({Scope.DATA}))
    home.write(*lines(1))
    assert home.run().counts.failed == 1
    _, [line] = home.results(1)
    assert line["response"]["status_code"] == 403


def test_every_endpoint_is_a_route_under_every_mount(home: Home) -> None:
    paths = set(build_app(home.settings).openapi()["paths"])
    for endpoint in ENDPOINTS:
        assert {mount.removesuffix("/v1") + endpoint for mount in MOUNTS} <= paths


def test_a_batch_has_its_own_name_in_the_engine_and_the_rights_of_its_key(home: Home) -> None:
    home.write(*lines(1))
    assert home.run().counts.succeeded == 1
    assert [asked.owner for asked in home.engine.asked] == [f"batch/{home.actor.key_id}"]


def test_a_killed_child_is_run_under_a_lock(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    from modiste.work import child

    locked: Callable[..., Any] = child.locked
    monkeypatch.setattr(batch_run, "locked", lambda path: locked(path, timeout_s=0.1))
    with locked(home.run_dir / "batch.lock"):
        assert batch_run.main([str(home.run_dir)]) == child.EXIT_LOCKED


class Counting(ScriptedEngine):
    running = most = 0

    async def generate(self, request: Any) -> Any:
        Counting.running += 1
        Counting.most = max(Counting.most, Counting.running)
        try:
            async for event in super().generate(request):
                yield event
        finally:
            Counting.running -= 1


class Refusing(ScriptedEngine):
    """Refuses with these codes, then answers."""

    def __init__(self, codes: list[FailureCode]) -> None:
        super().__init__()
        self.codes = list(codes)

    async def generate(self, request: Any) -> Any:
        code = self.codes.pop(0) if self.codes else None
        self.failure = None if code is None else Failed(request.id, code, "not now", 1.0)
        async for event in super().generate(request):
            yield event


class Stopping(ScriptedEngine):
    """Asks the child to stop once it was asked for this many."""

    def __init__(self, run_dir: Path, *, after: int, how: str) -> None:
        super().__init__()
        self.run_dir, self.after, self.how = run_dir, after, how

    async def generate(self, request: Any) -> Any:
        if len(self.asked) >= self.after:
            self.pause_s = 0.3
        if len(self.asked) >= self.after + 2:
            (self.run_dir / self.how).touch()
        async for event in super().generate(request):
            yield event
