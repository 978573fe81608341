"""The supervisor against real processes: stand-in parts, real signals, real files."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modiste.errors import Conflict, Unavailable
from modiste.settings import Settings
from modiste.work import home, supervisor
from modiste.work.supervisor import Kind

sys.path.insert(0, str(Path(__file__).parent))
import standins

MODULES = {
    Kind.FRONT: "standin_front",
    Kind.ENGINE: "standin_obedient",
    Kind.WORKER: "standin_obedient",
}


@pytest.fixture(autouse=True)
def _stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "standins"
    folder.mkdir()
    for name in ("FRONT", "OBEDIENT", "DEAF", "BROKEN"):
        (folder / f"standin_{name.lower()}.py").write_text(getattr(standins, name))
    monkeypatch.setenv("PYTHONPATH", str(folder))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", port=0, workers=2, drain_timeout_s=5)


@pytest.fixture
def said() -> list[str]:
    return []


def until(condition: Callable[[], object], *, timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/status")
    return not (status.exists() and "State:\tZ" in status.read_text())


def pids(folder: Path, word: str = "started") -> set[int]:
    return {int(path.name.rpartition("-")[2]) for path in folder.glob(f"{word}-*")}


def test_a_server_is_ready_when_its_front_answers_and_drains_when_it_stops(
    settings: Settings, said: list[str]
) -> None:
    with supervisor.running(settings, report=said.append, modules=MODULES) as ready:
        assert ready.health == {"status": "ok"}
        assert ready.new_admin_key
        assert home.probe(ready.url).ok
        until(lambda: len(pids(settings.home)) == 3)
        parts = pids(settings.home)
    assert pids(settings.home, "drained") == parts
    assert not any(alive(pid) for pid in parts)
    assert home.read_server_file(settings) is None


def test_a_second_supervisor_on_the_same_home_is_told_who_holds_it(
    settings: Settings, said: list[str]
) -> None:
    with supervisor.running(settings, report=said.append, modules=MODULES) as ready:
        with pytest.raises(Conflict) as refusal:
            supervisor.Supervisor(settings, report=said.append, modules=MODULES).run()
        assert str(os.getpid()) in refusal.value.message
        assert ready.url in refusal.value.message
        assert home.probe(ready.url).ok, "the refusal must not disturb the first one"


def test_a_taken_port_is_refused_before_anything_starts(tmp_path: Path, said: list[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        settings = Settings(home=tmp_path / "home", port=port)
        with pytest.raises(Conflict, match=f"port {port}.*--port"):
            supervisor.Supervisor(settings, report=said.append, modules=MODULES).run()
    assert not list((tmp_path / "home").glob("started-*"))


def test_a_part_that_is_killed_is_started_again_and_that_is_said(
    settings: Settings, said: list[str]
) -> None:
    with supervisor.running(settings, report=said.append, modules=MODULES):
        until(lambda: len(pids(settings.home)) == 3)
        victim = pids(settings.home).pop()
        os.kill(victim, signal.SIGKILL)
        until(lambda: len(pids(settings.home)) == 4)
        assert any("was ended by SIGKILL; starting it again in" in line for line in said)
        assert any("started again" in line for line in said)


def test_a_part_that_keeps_dying_is_started_again_more_and_more_slowly(
    settings: Settings, said: list[str]
) -> None:
    def told(pattern: str) -> list[str]:
        return re.findall(pattern, "\n".join(said))

    with supervisor.running(settings, report=said.append, modules=MODULES):
        until(lambda: len(pids(settings.home)) == 3)
        victim = pids(settings.home).pop()
        for n_deaths in (1, 2):
            os.kill(victim, signal.SIGKILL)
            until(lambda n=n_deaths: len(told("started again")) == n)
            victim = int(told(r"started again \(process (\d+)\)")[-1])
        assert told(r"SIGKILL; starting it again in (.*) s") == ["0.5", "1.0"]


def test_a_front_on_a_free_port_comes_back_on_the_same_port(
    settings: Settings, said: list[str]
) -> None:
    with supervisor.running(settings, report=said.append, modules=MODULES) as ready:
        first = home.read_server_file(settings)
        assert first is not None
        os.kill(first.pid, signal.SIGKILL)
        until(lambda: not alive(first.pid))
        until(lambda: home.probe(ready.url).ok)
        second = home.read_server_file(settings)
        assert second is not None
        assert (second.url, second.pid != first.pid) == (first.url, True)


def test_a_part_that_cannot_start_ends_the_start_with_its_last_words(
    tmp_path: Path, said: list[str]
) -> None:
    settings = Settings(home=tmp_path / "home", port=0, workers=0, drain_timeout_s=5)
    broken = MODULES | {Kind.ENGINE: "standin_broken"}
    with (
        pytest.raises(
            Unavailable, match=r"engine does not start[^$]*cannot read the configuration"
        ),
        supervisor.running(settings, report=said.append, modules=broken),
    ):
        pytest.fail("a server without engine is not ready")
    assert not any(alive(pid) for pid in pids(settings.home))


def test_a_part_that_ignores_the_request_to_stop_is_killed_and_that_is_said(
    tmp_path: Path, said: list[str]
) -> None:
    settings = Settings(home=tmp_path / "home", port=0, workers=1, drain_timeout_s=0.3)
    deaf = MODULES | {Kind.WORKER: "standin_deaf"}
    with supervisor.running(settings, report=said.append, modules=deaf):
        pass
    assert "worker-1 did not stop in time and is killed" in said


def test_a_second_request_to_stop_does_not_wait_for_anybody(
    tmp_path: Path, said: list[str]
) -> None:
    settings = Settings(home=tmp_path / "home", port=0, workers=1, drain_timeout_s=60)
    deaf = MODULES | {Kind.WORKER: "standin_deaf"}
    supervised = supervisor.Supervisor(settings, report=said.append, modules=deaf)
    pids: list[int | None] = []

    def stop_twice(ready: supervisor.Ready) -> None:
        pids.extend(part.pid for part in supervised.parts)
        supervised.stop()
        supervised.kill()

    began = time.monotonic()
    supervised.run(stop_twice)
    assert time.monotonic() - began < 30
    assert not any(alive(pid) for pid in pids if pid is not None)


SUPERVISE = """
import sys, time
from pathlib import Path
from modiste.settings import Settings
from modiste.work import home, supervisor
from modiste.work.supervisor import Kind
home, front, part = sys.argv[1:]
modules = {Kind.FRONT: front, Kind.ENGINE: part, Kind.WORKER: part}
supervisor.Supervisor(Settings(home=Path(home), port=0), report=print, modules=modules).run()
"""


@pytest.fixture
def supervising(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-c", SUPERVISE, str(settings.home), "standin_front", "standin_obedient"],
        stdout=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel signal is Linux's")
def test_nothing_outlives_a_supervisor_that_is_killed_with_9(
    settings: Settings, supervising: subprocess.Popen[bytes]
) -> None:
    until(lambda: len(pids(settings.home)) == 2 and home.read_server_file(settings))
    server = home.read_server_file(settings)
    assert server is not None
    children = pids(settings.home) | {server.pid}
    supervising.kill()
    supervising.wait()
    until(lambda: not any(alive(pid) for pid in children), timeout_s=30)


def test_the_home_is_free_again_at_once_after_a_supervisor_was_killed(
    settings: Settings, supervising: subprocess.Popen[bytes], said: list[str]
) -> None:
    until(lambda: home.read_server_file(settings))
    supervising.kill()
    supervising.wait()
    with supervisor.running(settings, report=said.append, modules=MODULES) as ready:
        assert home.probe(ready.url).ok


def test_parts_get_exactly_the_settings_of_their_supervisor(tmp_path: Path) -> None:
    aliases = {"a": "b", "c": "d"}
    settings = Settings(home=tmp_path, base_aliases=aliases, api_key="secret", sql_mysql_port=None)
    inherited = {
        "MODISTE_PORT": "1",
        "MODISTE_URL": "http://x",
        "MODISTE_DATA": "/d",
        "PATH": "/bin",
    }
    result = supervisor.environment(settings, inherited)
    assert result["MODISTE_PORT"] == "8321"
    assert result["MODISTE_BASE_ALIASES"] == "a=b,c=d"
    assert result["MODISTE_SQL_MYSQL_PORT"] == "off"
    assert result["MODISTE_DATA"] == "/d"
    assert not {"MODISTE_URL", "MODISTE_API_KEY"} & set(result)


def test_the_log_of_a_part_keeps_everything_and_the_terminal_hears_warnings(
    settings: Settings, said: list[str]
) -> None:
    with supervisor.running(settings, report=said.append, modules=MODULES):
        until(lambda: "engine: WARNING part: all is well" in said)
    log = settings.process_dir / "front.log"
    assert "INFO front: listening" in log.read_text()
    assert not any("INFO" in line for line in said)
