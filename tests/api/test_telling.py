"""The end of a job reaches mail and webhook: through kills, receivers that are down, and once."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from receivers import Got, Hook, Mailbox

from modiste import settings as settings_module
from modiste.actions import files, jobs, notices
from modiste.api import telling
from modiste.errors import InvalidInput
from modiste.settings import Settings
from modiste.store.database import Database
from modiste.store.notice_tables import NoticeRow
from modiste.types import Actor, Job, JobError, JobStatus, NoticeStatus, TrainingFile
from modiste.work.supervisor import environment

KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
CHAT = {"messages": [{"role": "user", "content": "a?"}, {"role": "assistant", "content": "b."}]}
Ending = Callable[..., Job]


@pytest.fixture
def box(mailbox: Callable[..., Mailbox]) -> Mailbox:
    return mailbox()


@pytest.fixture
def settings(tmp_path: Path, box: Mailbox, hook: Hook) -> Settings:
    flags = {
        "home": tmp_path / "home", "smtp_host": "127.0.0.1", "smtp_port": box.port,
        "smtp_tls": "off", "mail_from": "modiste@example.org", "mail_to": ("a@example.org",),
        "webhook_url": hook.url, "webhook_secret": SECRET,
        "upstream_hosts": f"public,127.0.0.1:{hook.port}",
    }  # fmt: skip
    return settings_module.load(flags, environment={})


@pytest.fixture
def queued(database: Database, admin: Actor) -> Callable[[], str]:
    def make() -> str:
        line = json.dumps(CHAT).encode() + b"\n"
        file = files.add(database, admin, filename="a.jsonl", chunks=[line])
        wanted = {"model": "modiste-tiny", "training_files": [TrainingFile(file.id)]}
        with database.transaction() as tx:
            return jobs.create(tx, admin, **wanted).id  # type: ignore[arg-type]

    return make


@pytest.fixture
def end(database: Database, admin: Actor, queued: Callable[[], str]) -> Ending:
    """`end()` is a job that was cancelled."""

    def make() -> Job:
        job_id = queued()
        with database.transaction() as tx:
            return jobs.cancel(tx, admin, job_id)

    return make


def statuses(database: Database) -> list[NoticeStatus]:
    with database.transaction(write=False) as tx:
        return list(tx.session.scalars(sa.select(NoticeRow.status).order_by(NoticeRow.seq)))


def look_once(database: Database) -> None:
    """As a front that starts, and is stopped at once."""

    async def go() -> None:
        stopping = asyncio.Event()
        stopping.set()
        await telling.until(database, stopping)

    asyncio.run(go())


def checked(got: Got) -> dict[str, object]:
    """The body, its signature held against the key as a receiver does."""
    head = got.headers
    signed = f"{head['webhook-id']}.{head['webhook-timestamp']}.".encode() + got.body
    mac = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    assert head["webhook-signature"] == f"v1,{mac}"
    assert abs(int(head["webhook-timestamp"]) - time.time()) < 60
    told: dict[str, object] = json.loads(got.body)
    assert told["id"] == head["webhook-id"]
    return told


def test_a_front_that_runs_tells_of_an_end_by_mail_and_webhook(
    database: Database, end: Ending, box: Mailbox, hook: Hook
) -> None:
    async def go() -> Job:
        async with telling.telling(database):
            job = await asyncio.to_thread(end)
            while set(await asyncio.to_thread(statuses, database)) != {NoticeStatus.SENT}:
                await asyncio.sleep(0.05)
        return job

    job = asyncio.run(asyncio.wait_for(go(), 20))
    (letter,) = box.letters
    assert letter["subject"] == "[Modiste] The tuning of modiste-tiny was cancelled"
    assert job.id in letter.get_content()
    told = checked(hook.got[0])
    assert (told["type"], told["object"]) == ("fine_tuning.job.cancelled", "event")
    data = told["data"]
    assert isinstance(data, dict)
    assert (data["id"], data["status"], data["object"]) == (job.id, "CANCELLED", "job")
    assert len(hook.got) == len(box.letters) == 1


def test_a_kill_right_after_the_end_loses_nothing(
    database: Database, queued: Callable[[], str], box: Mailbox, hook: Hook
) -> None:
    job_id = queued()
    code = (
        "import os, signal, sys; import sqlalchemy as sa; from modiste import settings;"
        "from modiste.actions.job_states import move; from modiste.store.tables import JobRow;"
        "from modiste.store.database import Database; from modiste.types import JobStatus;"
        "database = Database(settings.load())\n"
        "with database.transaction() as tx:\n"
        "    row = tx.session.scalars(sa.select(JobRow).where(JobRow.id == sys.argv[1])).one()\n"
        "    move(tx, row, JobStatus.FAILED)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    process = subprocess.run(
        [sys.executable, "-c", code, job_id],
        env=environment(database.settings, os.environ),
        timeout=60,
    )
    assert process.returncode == -signal.SIGKILL
    assert (box.letters, hook.got) == ([], [])
    look_once(database)
    assert box.letters[0]["subject"] == "[Modiste] The tuning of modiste-tiny failed"
    assert checked(hook.got[0])["type"] == "fine_tuning.job.failed"


def test_what_a_front_was_killed_over_another_sends_under_the_same_number(
    database: Database, end: Ending, box: Mailbox, hook: Hook
) -> None:
    end()
    with database.transaction() as tx:
        killed_over = [errand.notice.id for errand in notices.claim(tx, 8)]
    look_once(database)
    assert hook.got == []
    later = datetime.now(UTC) + timedelta(seconds=notices.LEASE_S + 1)
    database.clock = lambda: later
    look_once(database)
    numbers = [box.letters[0]["message-id"].partition("@")[0][1:], checked(hook.got[0])["id"]]
    assert numbers == killed_over


def test_receivers_that_are_down_are_tried_again_and_do_not_wait_for_each_other(
    database: Database, end: Ending, box: Mailbox, hook: Hook
) -> None:
    job = end()
    hook.answers, box.busy = [500, 302], 1
    look_once(database)
    assert statuses(database) == [NoticeStatus.WAITING] * 2
    with database.transaction(write=False) as tx:
        errors = list(tx.session.scalars(sa.select(NoticeRow.error).order_by(NoticeRow.seq)))
    assert "451 come back later" in errors[0]
    assert "answered 500" in errors[1]
    at = datetime.now(UTC)
    database.clock = lambda: at + timedelta(seconds=6)
    look_once(database)
    assert statuses(database) == [NoticeStatus.SENT, NoticeStatus.WAITING]
    database.clock = lambda: at + timedelta(seconds=60)
    look_once(database)
    look_once(database)
    assert statuses(database) == [NoticeStatus.SENT] * 2
    assert (len(box.letters), len(hook.got)) == (1, 3)
    assert len({checked(got)["id"] for got in hook.got}) == 1
    assert job.status is JobStatus.CANCELLED


@pytest.mark.slow
@pytest.mark.parametrize("version", ["1.109.1", "3.52.0"])
def test_openais_client_checks_and_reads_the_event(
    database: Database, end: Ending, hook: Hook, version: str
) -> None:
    python = Path(__file__).parents[2] / f".clients/openai-{version}/bin/python"
    if not python.exists():
        pytest.skip(f"openai {version} is not installed in .clients: run `make clients`")
    job = end()
    look_once(database)
    code = (
        "import json, sys; from openai import OpenAI; got = json.load(sys.stdin);"
        "webhooks = OpenAI(api_key='x').webhooks\n"
        "for secret in sys.argv[1:]:\n"
        "    try:\n"
        "        event = webhooks.unwrap(got['body'], got['headers'], secret=secret)\n"
        "        print(type(event).__name__, event.data.id)\n"
        "    except Exception as error: print(type(error).__name__)"
    )
    got = json.dumps({"body": hook.got[0].body.decode(), "headers": hook.got[0].headers})
    other = "whsec_" + base64.b64encode(bytes(32)).decode()
    told = subprocess.run(
        [python, "-c", code, SECRET, other], input=got, capture_output=True, text=True, timeout=60
    )
    right, wrong = told.stdout.splitlines()
    assert right == f"FineTuningJobCancelledWebhookEvent {job.id}"
    assert wrong == "InvalidWebhookSignatureError"


def test_a_fault_of_ours_is_kept_as_an_error_of_the_notice(
    database: Database, end: Ending, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    end()

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(telling.mail, "send", broken)
    look_once(database)
    with database.transaction(write=False) as tx:
        first = tx.session.scalars(sa.select(NoticeRow).order_by(NoticeRow.seq)).first()
        assert first is not None
        assert (first.status, first.error) == (NoticeStatus.WAITING, telling.FAULT)
    assert len(hook.got) == 1


def test_what_leaves_the_house_names_no_path_of_it(settings: Settings, end: Ending) -> None:
    where = f"Look into the logs in {settings.home}/runs/x."
    trackers = (
        {"type": "mlflow", "url": "sqlite:////srv/x.db"},
        {"type": "wandb", "url": "https://w"},
    )
    job = replace(end(), error=JobError("given_up", where), integrations=trackers)
    shown = telling.shown(job, settings)
    assert shown.error is not None
    assert shown.error.message == "Look into the logs in <home>/runs/x."
    assert shown.integrations == ({"type": "mlflow"}, {"type": "wandb", "url": "https://w"})


def test_a_front_ends_in_time_while_a_receiver_hangs(
    database: Database, end: Ending, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "CLOSE_S", 0.3)
    end()
    hook.pause_s = 1.5

    async def go() -> float:
        async with telling.telling(database):
            while not hook.got:
                await asyncio.sleep(0.02)
            began = time.monotonic()
        return time.monotonic() - began

    assert asyncio.run(go()) < 1.2
    assert statuses(database)[1] is NoticeStatus.WAITING


def test_a_trial_says_of_everybody_whether_it_worked(
    settings: Settings, box: Mailbox, hook: Hook
) -> None:
    hook.answers = [403]
    mail, webhook = asyncio.run(telling.trial(settings))
    assert (mail.target, mail.error) == ("a@example.org", None)
    assert "answered 403 (does it hold the same MODISTE_WEBHOOK_SECRET?)" in str(webhook.error)
    assert box.letters[0]["subject"] == "[Modiste] A trial of notifications"
    assert checked(hook.got[0])["type"] == "modiste.test"


def test_a_trial_where_nobody_is_set_says_what_to_set(tmp_path: Path) -> None:
    nobody = settings_module.load({"home": tmp_path}, environment={})
    with pytest.raises(InvalidInput, match=r"MODISTE_SMTP_HOST.*MODISTE_WEBHOOK_URL"):
        asyncio.run(telling.trial(nobody))
