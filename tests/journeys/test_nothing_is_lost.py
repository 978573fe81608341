"""Nothing is lost: real processes are killed with SIGKILL, and what was acknowledged survives.

One `modiste up` with two workers serves the whole file. Loss curves and adapters are compared to
the last bit: on CPU with a fixed thread count a resumed run repeats the undisturbed one exactly,
so any tolerance here would only hide a lost piece of state.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from modiste.serve.stream import EngineStream

STEPS = 18
CHECKPOINT_STEPS = 4
CHAT = "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "Tell me a long story about the sea."}]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


class Server:
    """`modiste up` on a home of its own, and the processes below it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.supervisor = self._start()

    def _start(self) -> psutil.Popen:
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("MODISTE_")
        }
        environment |= {
            "MODISTE_HOME": str(self.home),
            "MODISTE_CHECKPOINT_INTERVAL_STEPS": str(CHECKPOINT_STEPS),
            "MODISTE_LEASE_S": "5",
            "MODISTE_TRAIN_THREADS": "1",
            "MODISTE_ENGINE_THREADS": "1",
        }
        command = [sys.executable, "-m", "modiste", "up", "--port", "0", "--workers", "2"]
        with (self.home / "up.log").open("ab") as log:
            process = psutil.Popen(command, env=environment, stdout=log, stderr=log)
        self._until(self._ready, "ready", process)
        key = (self.home / "admin.key").read_text().strip()
        self.http = httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {key}"}, timeout=60
        )
        return process

    @property
    def url(self) -> str:
        return str(json.loads((self.home / "run" / "server.json").read_text())["url"])

    def _ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz", timeout=5).status_code == 200
        except (OSError, ValueError, httpx.HTTPError):
            return False

    def _until(self, done: Callable[[], bool], what: str, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + 120
        while not done():
            said = (self.home / "up.log").read_text()
            assert process.poll() is None, f"`modiste up` ended: {said}"
            assert time.monotonic() < deadline, f"not {what} after 120 s: {said}"
            time.sleep(0.1)

    def wait_until_ready(self) -> None:
        self._until(self._ready, "ready", self.supervisor)

    def parts(self, module: str) -> list[psutil.Process]:
        found = []
        for process in self.supervisor.children(recursive=True):
            try:
                if module in process.cmdline():
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def part(self, module: str, *, after: psutil.Process | None = None) -> psutil.Process:
        """The one that runs it, or is started in the place of the one that was killed."""
        deadline = time.monotonic() + 60
        while True:
            found = [process for process in self.parts(module) if process != after]
            if len(found) == 1:
                return found[0]
            assert time.monotonic() < deadline, (module, found)
            time.sleep(0.05)

    def kill_supervisor_and_start_again(self) -> None:
        family = self.supervisor.children(recursive=True)
        self.supervisor.kill()
        self.supervisor.wait(10)
        _, alive = psutil.wait_procs(family, timeout=60)
        assert alive == [], "parts outlived their supervisor"
        self.supervisor = self._start()

    def stop(self) -> None:
        self.supervisor.send_signal(signal.SIGINT)
        self.supervisor.wait(60)

    def upload(self, name: str, rows: list[Any]) -> str:
        content = "".join(json.dumps(row) + "\n" for row in rows)
        answer = self.http.post("/v1/files", files={"file": (name, content)})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        """Outlasts a front that is restarting."""
        deadline = time.monotonic() + 60
        while True:
            try:
                answer = self.http.get(f"/v1/fine_tuning/jobs/{job_id}")
                if answer.status_code == 200:
                    return dict(answer.json())
            except httpx.HTTPError:
                pass
            assert time.monotonic() < deadline, "the front does not come back"
            time.sleep(0.2)

    def wait_for_step(self, job_id: str, step: int) -> None:
        """Read from the run's own record, so that the kill that follows hits in time."""
        events = self.home / "runs" / job_id / "events.jsonl"
        deadline = time.monotonic() + 120
        while not (events.exists() and f'"step":{step}' in events.read_text().replace(" ", "")):
            assert time.monotonic() < deadline, self.job(job_id)
            time.sleep(0.02)

    def finish(self, job_id: str) -> dict[str, Any]:
        deadline = time.monotonic() + 240
        while (job := self.job(job_id))["status"] in ("QUEUED", "RUNNING"):
            assert time.monotonic() < deadline, job
            time.sleep(0.2)
        assert job["status"] == "SUCCESS", job
        return job

    def outcome(self, job_id: str) -> tuple[list[tuple[int, float]], bytes]:
        """The loss curve and the bytes of the adapter that a job ended with."""
        metrics = self.http.get(f"/v1/fine_tuning/jobs/{job_id}/metrics").json()["data"]
        curve = [(m["step"], m["loss"]) for m in metrics]
        adapter = self.home / "runs" / job_id / "adapter" / "adapter_model.safetensors"
        return curve, adapter.read_bytes()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("home"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def files(server: Server) -> tuple[str, str]:
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"What colour is number {n}?"},
                {"role": "assistant", "content": ("red", "green", "blue")[n % 3]},
            ]
        }
        for n in range(150)
    ]
    return server.upload("train.jsonl", rows[:120]), server.upload("valid.jsonl", rows[120:])


def create(server: Server, files: tuple[str, str], **changes: Any) -> str:
    body = {
        "model": "modiste-tiny",
        "training_files": [files[0]],
        "validation_files": [files[1]],
        "hyperparameters": {"training_steps": STEPS, "learning_rate": 1e-3, "seq_len": 512},
        "auto_start": True,
    }
    answer = server.http.post("/v1/fine_tuning/jobs", json=body | changes)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


@pytest.fixture(scope="module")
def undisturbed(server: Server, files: tuple[str, str]) -> tuple[list[tuple[int, float]], bytes]:
    """What a job ends with when nobody disturbs it."""
    job_id = create(server, files, suffix="undisturbed")
    server.finish(job_id)
    curve, adapter = server.outcome(job_id)
    assert [step for step, _ in curve] == list(range(1, STEPS + 1))
    return curve, adapter


def test_a_killed_trainer_continues_and_ends_with_the_same_bits(
    server: Server, files: tuple[str, str], undisturbed: tuple[list[tuple[int, float]], bytes]
) -> None:
    job_id = create(server, files, suffix="trainer")
    server.wait_for_step(job_id, 10)
    [trainer] = server.parts("modiste.work.training")
    trainer.kill()
    server.finish(job_id)
    assert server.outcome(job_id) == undisturbed
    events = (server.home / "runs" / job_id / "events.jsonl").read_text()
    assert '"resumed"' in events, "the run started over instead of continuing"


def test_a_killed_worker_takes_its_trainer_along_and_another_worker_continues(
    server: Server, files: tuple[str, str], undisturbed: tuple[list[tuple[int, float]], bytes]
) -> None:
    job_id = create(server, files, suffix="worker")
    server.wait_for_step(job_id, 10)
    [trainer] = server.parts("modiste.work.training")
    worker = trainer.parent()
    assert worker is not None
    worker.kill()
    psutil.wait_procs([trainer], timeout=60)
    assert not trainer.is_running(), "the trainer outlived its worker"
    server.finish(job_id)
    assert server.outcome(job_id) == undisturbed


def test_a_killed_server_continues_its_job_when_it_is_started_again(
    server: Server, files: tuple[str, str], undisturbed: tuple[list[tuple[int, float]], bytes]
) -> None:
    job_id = create(server, files, suffix="server")
    server.wait_for_step(job_id, 10)
    server.kill_supervisor_and_start_again()
    server.finish(job_id)
    assert server.outcome(job_id) == undisturbed


def test_two_workers_never_train_one_job(server: Server, files: tuple[str, str]) -> None:
    job_id = create(server, files, suffix="twice")
    seen: set[int] = set()
    while server.job(job_id)["status"] in ("QUEUED", "RUNNING"):
        trainers = [
            p for p in server.parts("modiste.work.training") if p.status() != psutil.STATUS_ZOMBIE
        ]
        assert len(trainers) <= 1
        seen |= {trainer.pid for trainer in trainers}
        time.sleep(0.05)
    assert server.job(job_id)["status"] == "SUCCESS"
    assert len(seen) == 1


def test_what_a_killed_front_acknowledged_is_there_when_it_is_back(
    server: Server, files: tuple[str, str]
) -> None:
    rows = [{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}]
    file_id = server.upload("acknowledged.jsonl", rows)
    job_id = create(server, files, suffix="front", auto_start=False)
    key = server.http.post("/v1/keys", json={"name": "acknowledged", "scopes": ["infer"]}).json()
    [front] = server.parts("modiste.api.app")
    front.kill()
    front.wait(10)
    server.wait_until_ready()
    content = server.http.get(f"/v1/files/{file_id}/content").content
    assert [json.loads(line) for line in content.splitlines()] == rows
    assert server.job(job_id)["suffix"] == "front"
    with_key = {"Authorization": f"Bearer {key['secret']}"}
    assert server.http.get("/v1/models", headers=with_key).status_code == 200
    server.http.post(f"/v1/fine_tuning/jobs/{job_id}/cancel")


def test_a_finetune_by_sql_outlives_the_front_that_read_its_rows(server: Server) -> None:
    """Its front dies while it reads 30,000 chats; the next one takes the version up."""
    folder = server.home / "sql"
    folder.mkdir(exist_ok=True)
    with sqlite3.connect(folder / "many.db") as made:
        made.execute("CREATE TABLE pairs (question, answer)")
        rows = ((f"What is {n}?", f"It is {n}.") for n in range(30_000))
        made.executemany("INSERT INTO pairs VALUES (?, ?)", rows)
    sql(server, "CREATE DATABASE many ENGINE = 'sqlite' PARAMETERS = {'path': 'many.db'}")
    sql(server, "CREATE MODEL killed PREDICT answer USING model_name = 'modiste-tiny', "
                "prompt_template = '{{question}}'")  # fmt: skip
    (made_row,) = sql(server, "FINETUNE killed FROM many (SELECT * FROM pairs) USING n_epochs = 1")
    front = server.part("modiste.api.app")
    front.kill()
    server.part("modiste.api.app", after=front)
    server.wait_until_ready()
    assert (made_row["VERSION"], made_row["STATUS"]) == (2, "generating")
    asked = "SELECT * FROM models WHERE name = 'killed' AND version = 2"
    (version,) = sql(server, asked)
    assert (version["STATUS"], version["TRAINING_PHASE_NAME"]) == ("generating", "preparing data")
    deadline = time.monotonic() + 150
    while version["TRAINING_PHASE_NAME"] == "preparing data":
        assert time.monotonic() < deadline, version
        time.sleep(0.2)
        (version,) = sql(server, asked)
    assert version["STATUS"] == "generating", version
    sql(server, "CANCEL FINETUNE killed.2")
    while version["STATUS"] == "generating":
        assert time.monotonic() < deadline, version
        time.sleep(0.2)
        (version,) = sql(server, asked)
    active = sql(server, "SELECT version FROM models WHERE name = 'killed' AND active = 1")
    assert [row["version"] for row in active] == [1]


def sql(server: Server, text: str) -> list[dict[str, Any]]:
    told = server.http.post("/api/sql/query", json={"query": text}).json()
    assert told["type"] != "error", told
    return [dict(zip(told["column_names"], row, strict=True)) for row in told.get("data") or []]


def test_everyone_who_waits_for_a_killed_engine_is_told_and_the_next_one_is_served(
    server: Server,
) -> None:
    # Sixteen hot answers: that all of them should have ended by chance before the kill, a few
    # tokens in, takes sixteen early ends at once.
    body = {
        "model": "modiste-tiny",
        "messages": MESSAGES,
        "max_tokens": 800,
        "temperature": 1.5,
        "n": 16,
        "stream": True,
    }
    told = ""
    with server.http.stream("POST", "/v1/chat/completions", json=body) as answer:
        for line in answer.iter_lines():
            told += line + "\n"
            if line and told.count("data: ") == 5:
                [engine] = server.parts("modiste.serve.process")
                engine.kill()
    assert "error" in told
    assert "[DONE]" not in told or '"finish_reason":"error"' in told
    server.wait_until_ready()
    again = server.http.post("/v1/chat/completions", json=body | {"stream": False, "max_tokens": 5})
    assert again.status_code == 200, again.text


ENDLESS = {
    "model": "modiste-tiny",
    "messages": MESSAGES,
    "n": 16,
    "max_tokens": 1500,
    "logit_bias": {"2": -100},
}
"""Without the token that ends answers: half a minute for the fastest engine."""


def test_every_caller_of_a_killed_engine_is_told_at_once_where_answers_come_whole(
    server: Server,
) -> None:
    # Six callers with sixteen sequences each: more than the engine has places, so some wait.
    with ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(server.http.post, CHAT, json=ENDLESS) for _ in range(6)]
        until_engine(server, lambda status: status["running"] > 32 and status["waiting"] > 0)
        [engine] = server.parts("modiste.serve.process")
        engine.kill()
        killed_at = time.monotonic()
        answers = [one.result(30) for one in asked]
        assert time.monotonic() - killed_at < 15
    for answer in answers:
        assert answer.status_code == 503, answer.text
        assert int(answer.headers["retry-after"]) >= 1
        assert "the engine stopped" in answer.text
    server.wait_until_ready()


def test_a_caller_who_hangs_up_frees_the_engine_though_the_answer_was_to_come_whole(
    server: Server,
) -> None:
    with pytest.raises(httpx.ReadTimeout):
        server.http.post(CHAT, json=ENDLESS, timeout=httpx.Timeout(30, read=1.0))
    hung_up_at = time.monotonic()
    until_engine(server, lambda status: status["running"] == status["waiting"] == 0)
    assert time.monotonic() - hung_up_at < 10, "most of the answer was still to come"


def until_engine(server: Server, holds: Callable[[dict[str, Any]], bool]) -> None:
    async def watch() -> None:
        engine = EngineStream(server.home / "run")
        async with asyncio.timeout(20):
            while not holds(await engine.status(timeout_s=10)):
                await asyncio.sleep(0.01)
        await engine.close()

    asyncio.run(watch())


def test_a_tuned_model_still_answers_the_same_after_everything_was_killed(
    server: Server, files: tuple[str, str]
) -> None:
    job_id = create(server, files, suffix="survivor")
    model = server.finish(job_id)["fine_tuned_model"]
    body = {
        "model": model,
        "messages": [{"role": "user", "content": "What colour is number 4?"}],
        "max_tokens": 8,
        "temperature": 0.8,
        "random_seed": 7,
    }
    before = server.http.post("/v1/chat/completions", json=body).json()["choices"]
    server.kill_supervisor_and_start_again()
    after = server.http.post("/v1/chat/completions", json=body).json()["choices"]
    assert before == after


def batch(server: Server, batch_id: str) -> dict[str, Any]:
    """Outlasts a front that is restarting."""
    deadline = time.monotonic() + 60
    while True:
        try:
            answer = server.http.get(f"/v1/batch/jobs/{batch_id}")
            if answer.status_code == 200:
                return dict(answer.json())
        except httpx.HTTPError:
            pass
        assert time.monotonic() < deadline, "the front does not come back"
        time.sleep(0.2)


def wait_for_results(server: Server, batch_id: str, more_than: int) -> int:
    """How many the journal holds, as soon as it holds more; read where the kill will hit. Of a
    batch, or of an evaluation."""
    journal = server.home / "runs" / batch_id / "results.journal"
    deadline = time.monotonic() + 120
    while not (journal.exists() and journal.read_bytes().count(b"\n") > more_than):
        assert time.monotonic() < deadline, f"{batch_id} comes to nothing more"
        time.sleep(0.02)
    return journal.read_bytes().count(b"\n")


def test_a_batch_loses_and_doubles_nothing_whatever_is_killed(server: Server) -> None:
    n_requests = 300
    lines = [
        {
            "custom_id": f"c{n}",
            "body": {
                "messages": [{"role": "user", "content": f"Count from {n}."}],
                "max_tokens": 60,
                "random_seed": n,
            },
        }
        for n in range(n_requests)
    ]
    content = "".join(json.dumps(line) + "\n" for line in lines)
    sent = server.http.post(
        "/v1/files", files={"file": ("requests.jsonl", content)}, data={"purpose": "batch"}
    )
    asked = {"input_files": [sent.json()["id"]], "endpoint": "/v1/chat/completions"}
    made = server.http.post("/v1/batch/jobs", json={**asked, "model": "modiste-tiny"})
    assert made.status_code == 200, made.text
    batch_id = str(made.json()["id"])

    n_kept = wait_for_results(server, batch_id, 10)
    killed = server.part("modiste.api.batch_run")
    killed.kill()
    runner = server.part("modiste.api.batch_run", after=killed)
    n_kept = wait_for_results(server, batch_id, n_kept)
    worker = runner.parent()
    assert worker is not None
    worker.kill()
    psutil.wait_procs([runner], timeout=60)
    assert not runner.is_running(), "the runner outlived its worker"
    n_kept = wait_for_results(server, batch_id, n_kept)
    server.part("modiste.serve.process").kill()
    n_kept = wait_for_results(server, batch_id, n_kept)
    kept_before = (server.home / "runs" / batch_id / "results.journal").read_bytes()
    server.kill_supervisor_and_start_again()
    assert n_kept < n_requests, "it was over before everything was killed"

    deadline = time.monotonic() + 300
    while (done := batch(server, batch_id))["status"] in ("QUEUED", "RUNNING"):
        assert time.monotonic() < deadline, done
        time.sleep(0.2)
    assert (done["status"], done["succeeded_requests"]) == ("SUCCESS", n_requests), done
    results = server.http.get(f"/v1/files/{done['output_file']}/content").content.splitlines()
    assert [json.loads(line)["custom_id"] for line in results] == [f"c{n}" for n in range(300)]
    kept = [line.split(b" ", 2)[2] for line in kept_before.splitlines() if line.endswith(b"}")]
    assert set(kept) <= set(results), "a finished result was answered anew"


def samples(server: Server, run_id: str) -> list[Any]:
    """What every item came to, without what time took."""
    lines = server.http.get(f"/v1/evals/runs/{run_id}/samples").content.splitlines()
    found = [json.loads(line) for line in lines]
    return [
        (each["item"]["key"], each["answer"]["text"], each["answer"]["failure"], each["scores"])
        for each in found
    ]


def evaluate(server: Server, suite: dict[str, Any]) -> str:
    made = server.http.post("/v1/evals/runs", json={"suite": suite})
    assert made.status_code == 200, made.text
    return str(made.json()["data"][0]["id"])


def evaluated(server: Server, run_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + 300
    while True:
        with suppress(httpx.HTTPError, ValueError):  # A front that is restarting.
            run: dict[str, Any] = server.http.get(f"/v1/evals/runs/{run_id}").json()
            if run.get("status") in ("SUCCESS", "FAILED", "CANCELLED"):
                return run
        assert time.monotonic() < deadline, "the evaluation does not end"
        time.sleep(0.2)


def test_an_evaluation_comes_to_the_same_whatever_is_killed(server: Server) -> None:
    n_items = 300
    items = [{"q": f"Count from {n}.", "a": str(n)} for n in range(n_items)]
    rows = "".join(json.dumps(item) + "\n" for item in items)
    sent = server.http.post(
        "/v1/files", files={"file": ("items.jsonl", rows)}, data={"purpose": "evals"}
    ).json()
    suite = {
        "name": "counting",
        "dataset": {"file_id": sent["id"], "reference": "{{a}}"},
        "prompt": "{{q}}",
        "models": {"base": {"model": "modiste-tiny"}},
        "sampling": {"max_tokens": 60, "temperature": 0.8},
        "scorers": ["includes"],
    }
    whole = evaluated(server, evaluate(server, suite))
    assert (whole["status"], whole["counts"]["failed"]) == ("SUCCESS", 0), whole

    run_id = evaluate(server, suite)
    n_kept = wait_for_results(server, run_id, 10)
    killed = server.part("modiste.work.eval_run")
    killed.kill()
    child = server.part("modiste.work.eval_run", after=killed)
    n_kept = wait_for_results(server, run_id, n_kept)
    worker = child.parent()
    assert worker is not None
    worker.kill()
    psutil.wait_procs([child], timeout=60)
    assert not child.is_running(), "the child outlived its worker"
    n_kept = wait_for_results(server, run_id, n_kept)
    server.part("modiste.serve.process").kill()
    n_kept = wait_for_results(server, run_id, n_kept)
    server.kill_supervisor_and_start_again()
    assert n_kept < n_items, "it was over before everything was killed"

    disturbed = evaluated(server, run_id)
    assert (disturbed["status"], disturbed["counts"]["failed"]) == ("SUCCESS", 0), disturbed
    assert disturbed["metrics"] == whole["metrics"]
    assert samples(server, run_id) == samples(server, whole["id"])
