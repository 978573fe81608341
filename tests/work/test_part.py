"""One supervised process: back-off, exits in words, bounded logs."""

import io
from pathlib import Path

import pytest

from modiste.work import part
from modiste.work.part import PartLog


def test_the_delay_before_a_restart_doubles_up_to_thirty_seconds() -> None:
    assert [part.restart_delay_s(n) for n in (1, 2, 3, 7, 50)] == [0.5, 1.0, 2.0, 30.0, 30.0]


def test_an_exit_is_described_in_words() -> None:
    assert part.describe_exit(-9) == "was ended by SIGKILL"
    assert part.describe_exit(1) == "ended with exit code 1"


def test_a_log_never_grows_beyond_two_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(part, "LOG_BYTES", 1000)
    log = PartLog("x", tmp_path / "x.log", lambda line: None)
    log.follow(io.BytesIO(b"%s\n" % (b"y" * 99) * 100))
    log.finish()
    assert (tmp_path / "x.log").stat().st_size <= 1000
    assert (tmp_path / "x.log.1").stat().st_size <= 1000
    assert len(list(tmp_path.iterdir())) == 2


def heard(tmp_path: Path, output: bytes) -> list[str]:
    said: list[str] = []
    log = PartLog("engine", tmp_path / "engine.log", said.append)
    log.follow(io.BytesIO(output))
    log.finish()
    return said


def test_a_flood_of_warnings_is_counted_not_scrolled(tmp_path: Path) -> None:
    said = heard(tmp_path, b"".join(b"WARNING number %d\n" % n for n in range(250)))
    assert said[:2] == ["engine: WARNING number 0", "engine: WARNING number 1"]
    assert said[-1] == f"engine: 240 more like this in {tmp_path / 'engine.log'}"
    assert len(said) == 11


def test_the_same_warning_again_is_said_once_and_counted(tmp_path: Path) -> None:
    said = heard(tmp_path, b"2026-11-20 21:48:02,470 ERROR disk full\n" * 3 + b"ERROR other\n")
    more = f"engine: 2 more like this in {tmp_path / 'engine.log'}"
    assert said == ["engine: ERROR disk full", more, "engine: ERROR other"]
