"""`modiste up` as a process: ready, refused, stopped, killed. The parts are the real ones."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modiste.cli import up
from modiste.settings import Settings
from modiste.work import home as homes

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(home: Path) -> Iterator[Start]:
    processes: list[subprocess.Popen[str]] = []

    def run(*flags: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "modiste", "up", "--port", "0", *flags]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        processes.append(process)
        return process

    yield run
    for process in processes:
        process.kill()
        process.wait()


def read_until(process: "subprocess.Popen[str]", word: str) -> str:
    text = ""
    assert process.stdout is not None
    for line in process.stdout:
        text += line
        if word in line:
            return text
    raise AssertionError(f"ended without {word!r}: {text}{process.stderr.read()}")


def test_the_first_start_tells_the_way_to_the_admin_key_and_a_second_one_is_refused(
    start: Start, home: Path
) -> None:
    process = start()
    text = read_until(process, "Ctrl-C stops it")
    assert str(home / "admin.key") in text
    assert (home / "admin.key").read_text().strip() not in text
    server = homes.read_server_file(Settings(home=home))
    assert server is not None
    health = homes.probe(server.url)
    assert health.ok
    assert set(health.body["parts"]) >= {"front", "engine", "workers"}

    second = start()
    _, err = second.communicate(timeout=120)
    assert second.returncode == 1
    assert str(process.pid) in err
    assert server.url in err

    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "Stopped. Nothing is lost" in out
    assert not homes.probe(server.url).ok


def test_with_json_every_line_is_an_event(start: Start, home: Path) -> None:
    process = start("--json", "--workers", "0")
    lines = read_until(process, '"ready"').splitlines()
    ready = json.loads(lines[-1])
    assert homes.probe(ready["url"]).ok
    server = homes.read_server_file(Settings(home=home))
    assert server is not None
    assert ready["sql"] == server.sql
    process.terminate()
    out, _ = process.communicate(timeout=120)
    assert [json.loads(line)["event"] for line in out.splitlines()] == ["stopping", "stopped"]


def test_a_taken_port_fails_in_one_line(start: Start) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = start("--port", str(taken.getsockname()[1]))
        _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert err.startswith("error: cannot listen on 127.0.0.1 port")
    assert len(err.splitlines()) == 1


@pytest.mark.slow
def test_the_server_goes_on_when_its_terminal_is_closed(start: Start, home: Path) -> None:
    process = start()
    read_until(process, "Ctrl-C stops it")
    process.stdout.close()
    server = homes.read_server_file(Settings(home=home))
    os.kill(server.pid, signal.SIGKILL)  # the restart has to be said to nobody
    deadline = time.monotonic() + 60
    while not homes.probe(server.url).ok:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.terminate()
    process.wait(timeout=120)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.2"])
def test_loopback_needs_no_warning(host: str) -> None:
    assert up.exposure_warning(host) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "example.org"])
def test_other_addresses_are_warned_about(host: str) -> None:
    assert host in str(up.exposure_warning(host))
