"""Who serves a home, asked of real files, sockets and processes."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from modiste.errors import Conflict, InvalidInput, StorageFull
from modiste.settings import Settings
from modiste.work import home


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", port=0)


def test_a_stale_server_file_counts_as_no_server(settings: Settings) -> None:
    settings.process_dir.mkdir(parents=True)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    content = {"pid": gone.pid, "url": "http://127.0.0.1:1"}
    (settings.process_dir / "server.json").write_text(json.dumps(content))
    assert home.read_server_file(settings) is None


def test_a_home_is_held_once_and_free_after_the_block(settings: Settings) -> None:
    home.make_folders(settings)
    with home.held(settings) as file:
        home.write_holder(file, url=None)
        with pytest.raises(Conflict, match="still starting"), home.held(settings):
            pytest.fail("held twice")
    with home.held(settings):
        pass


def test_a_taken_port_is_refused_and_a_free_one_is_not(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Conflict, match=f"port {port}"):
            home.refuse_taken_port(Settings(home=tmp_path, port=port))
    home.refuse_taken_port(Settings(home=tmp_path, port=port))


def test_a_host_that_is_no_address_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="'not a host'"):
        home.refuse_taken_port(Settings(home=tmp_path, host="not a host"))


def test_a_home_that_cannot_be_created_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageFull, match="choose another --home"):
        home.make_folders(Settings(home=tmp_path / "file" / "home"))


def test_a_home_is_readable_by_its_owner_only(settings: Settings) -> None:
    home.make_folders(settings)
    assert settings.home.stat().st_mode & 0o777 == 0o700


def test_a_server_that_does_not_answer_is_unhealthy_with_a_reason(settings: Settings) -> None:
    health = home.probe("http://127.0.0.1:9")
    assert not health.ok
    assert "/healthz" in health.reason
