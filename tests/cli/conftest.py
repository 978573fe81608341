"""The command line as its callers see it: arguments in; exit code, output and errors back."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from modiste.__main__ import main


class Result(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home; nothing of the developer's own settings reaches the test."""
    import os

    for name in list(os.environ):
        if name.startswith("MODISTE_"):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    monkeypatch.setenv("MODISTE_HOME", str(home))
    return home


@pytest.fixture
def modiste(home: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    """`modiste("files", "list")` runs the command in this process."""

    def run(*argv: str) -> Result:
        capfd.readouterr()
        code = main([str(argument) for argument in argv])
        return Result(code, *capfd.readouterr())

    return run


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, list[Any]], Path]:
    """`write("a.jsonl", rows)` is a file of JSON lines."""

    def file(name: str, rows: list[Any]) -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return file


@pytest.fixture
def training_file(tmp_path: Path) -> Path:
    path = tmp_path / "train.jsonl"
    row = {
        "messages": [
            {"role": "user", "content": "Ping?"},
            {"role": "assistant", "content": "Pong."},
        ]
    }
    path.write_text("".join(json.dumps(row) + "\n" for _ in range(20)))
    return path
