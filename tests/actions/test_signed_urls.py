"""Tokens of signed links: only ours, only in time, from one secret per home."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from modiste import settings as settings_module
from modiste.actions import signed_urls
from modiste.errors import Forbidden
from modiste.settings import Settings

NOW = datetime(2026, 11, 20, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    return settings_module.load({"home": tmp_path}, environment={})


def test_a_token_carries_its_subject_until_its_time(home: Settings) -> None:
    token = signed_urls.sign(home, "org/file:1", until=LATER)
    assert signed_urls.verify(home, token, now=NOW) == "org/file:1"
    with pytest.raises(Forbidden, match="expired"):
        signed_urls.verify(home, token, now=LATER)


def test_any_altered_character_is_noticed(home: Settings) -> None:
    token = signed_urls.sign(home, "org/file", until=LATER)
    payload, _, mac = token.partition(".")
    other = signed_urls.sign(home, "org/another", until=LATER)
    for forged in (
        payload[:-1] + ("A" if payload[-1] != "A" else "B") + "." + mac,
        other.partition(".")[0] + "." + mac,
        payload + ".",
        payload,
        "",
    ):
        with pytest.raises(Forbidden, match="not valid"):
            signed_urls.verify(home, forged, now=NOW)


def test_another_home_does_not_know_the_token(home: Settings, tmp_path: Path) -> None:
    token = signed_urls.sign(home, "org/file", until=LATER)
    elsewhere = settings_module.load({"home": tmp_path / "b"}, environment={})
    elsewhere.home.mkdir()
    with pytest.raises(Forbidden):
        signed_urls.verify(elsewhere, token, now=NOW)


def test_the_secret_is_for_its_owner_only(home: Settings) -> None:
    signed_urls.sign(home, "x", until=LATER)
    assert [path.name for path in home.home.iterdir()] == ["signing.key"]
    assert (home.home / "signing.key").stat().st_mode & 0o777 == 0o600


def test_processes_that_start_together_agree_on_one_secret(home: Settings) -> None:
    code = (
        "import sys; from datetime import *; from modiste import settings;"
        "from modiste.actions import signed_urls;"
        "print(signed_urls.sign(settings.load({'home': sys.argv[1]}, {}), 'x',"
        " until=datetime(2030, 1, 1, tzinfo=UTC)))"
    )
    command = [sys.executable, "-c", code, str(home.home)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(4)]
    assert len({process.communicate(timeout=60)[0] for process in processes}) == 1
