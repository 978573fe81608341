"""The front as a process: where it listens, what it makes on start, how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from scripted import ScriptedEngine, jsonl, run_front, settings_for

from modiste.api.app import build_app
from modiste.store.database import Database
from modiste.store.tables import ModelRow


class Process:
    def __init__(self, home: Path, **changes: str) -> None:
        self.home = home
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("MODISTE_")
        }
        environment |= {"MODISTE_HOME": str(home), "MODISTE_PORT": "0", "MODISTE_WORKERS": "0"}
        environment |= {"MODISTE_SQL_MYSQL_PORT": "off", "MODISTE_SQL_POSTGRES_PORT": "0"}
        self.log = home / "front.log"
        with self.log.open("wb") as log:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "modiste.api.app"],
                env=environment | changes,
                stdout=log,
                stderr=log,
            )

    @property
    def server_file(self) -> Path:
        return self.home / "run" / "server.json"

    def wait_until_listening(self) -> dict[str, Any]:
        deadline = time.monotonic() + 60
        while not self.server_file.exists():
            assert self.popen.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)
        return dict(json.loads(self.server_file.read_text()))

    def stop(self) -> int:
        self.popen.send_signal(signal.SIGTERM)
        return self.popen.wait(30)


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    running = Process(tmp_path)
    yield running
    if running.popen.poll() is None:
        running.popen.kill()
        running.popen.wait()


def test_a_front_says_where_it_listens_makes_a_key_and_cleans_up(process: Process) -> None:
    server = process.wait_until_listening()
    assert server["pid"] == process.popen.pid
    assert server["url"] == f"http://127.0.0.1:{server['port']}"
    key_file = process.home / "admin.key"
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    health = httpx.get(f"{server['url']}/healthz")
    assert health.status_code == 503
    assert health.json()["missing"] == ["engine"]
    headers = {"authorization": f"Bearer {key_file.read_text().strip()}"}
    listed = httpx.get(f"{server['url']}/v1/models", headers=headers).json()
    assert [model["id"] for model in listed["data"]] == ["modiste-tiny"]
    assert list(server["sql"]) == ["postgres"]
    assert sql_login(server["sql"]["postgres"], "mod_wrong") == b"E"
    assert sql_login(server["sql"]["postgres"], key_file.read_text().strip()) == b"R"
    assert process.stop() == 0
    assert not process.server_file.exists()


def sql_login(port: int, key: str) -> bytes:
    """The first letter of what a PostgreSQL client is told about its key: R lets it in."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        body = struct.pack("!I", 3 << 16) + b"user\0me\0\0"
        client.sendall(struct.pack("!i", len(body) + 4) + body)
        assert client.recv(9) == b"R\0\0\0\x08\0\0\0\x03"
        client.sendall(b"p" + struct.pack("!i", len(key) + 5) + key.encode() + b"\0")
        return client.recv(1)


def test_what_was_acknowledged_is_there_after_a_kill(process: Process) -> None:
    server = process.wait_until_listening()
    key = (process.home / "admin.key").read_text().strip()
    headers = {"authorization": f"Bearer {key}"}
    part = {"file": ("kept.jsonl", jsonl({"text": "kept"}))}
    file = httpx.post(f"{server['url']}/v1/files", files=part, headers=headers).json()
    process.popen.kill()
    process.popen.wait()
    process.server_file.unlink()
    again = Process(process.home)
    try:
        url = again.wait_until_listening()["url"]
        assert httpx.get(f"{url}/v1/files/{file['id']}", headers=headers).json() == file
        assert (process.home / "admin.key").read_text().strip() == key
    finally:
        assert again.stop() == 0


def test_a_request_that_runs_is_finished_before_the_front_ends(process: Process) -> None:
    server = process.wait_until_listening()
    key = (process.home / "admin.key").read_text().strip()
    slow = _slow_upload(process)
    headers = {
        "authorization": f"Bearer {key}",
        "content-type": "multipart/form-data; boundary=b",
    }
    answer = httpx.post(f"{server['url']}/v1/files", content=slow, headers=headers, timeout=30)
    assert answer.status_code == 200
    assert process.popen.wait(30) == 0


def _slow_upload(process: Process) -> Iterator[bytes]:
    """A form in whose middle the front is told to stop."""
    yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="slow.jsonl"\r\n\r\n'
    yield jsonl({"text": "one"})
    time.sleep(0.3)
    process.popen.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    yield jsonl({"text": "two"}) + b"\r\n--b--\r\n"


def test_wrong_settings_are_told_and_end_with_a_usage_error(tmp_path: Path) -> None:
    wrong = Process(tmp_path, MODISTE_PRT="1")
    assert wrong.popen.wait(30) == 2
    assert "did you mean port" in wrong.log.read_text()


def test_nothing_is_opened_before_the_app_starts(tmp_path: Path) -> None:
    home = tmp_path / "home"
    app = build_app(settings_for(home), engine=ScriptedEngine())  # type: ignore[arg-type]
    assert app.title == "Modiste"
    assert not home.exists()


def test_a_start_tells_of_bases_what_an_older_version_did_not_keep(
    tmp_path: Path, coder_base: Path
) -> None:
    settings, front = settings_for(tmp_path), contextmanager(run_front)
    with front(settings, ScriptedEngine()) as first, first.client() as client:
        added = client.post("/v1/models/bases", json={"name": "coder", "path": str(coder_base)})
        assert added.status_code == 200, added.text
    database = Database(settings)
    with database.transaction() as tx:
        tx.session.execute(sa.update(ModelRow).values(abilities=None))
    database.close()
    with front(settings, ScriptedEngine()) as second, second.client() as client:
        card = client.get("/v1/models/coder").json()
    able = {name for name, yes in card["capabilities"].items() if yes}
    assert able == {"completion_chat", "completion_fim", "function_calling", "fine_tuning"}
