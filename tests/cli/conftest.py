"""The command line as its callers see it: arguments in; exit code, output and errors back."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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


class Judge(BaseHTTPRequestHandler):
    """A double of a server whose model judges pairs: `points(first, second)` in its form."""

    points: Callable[[str, str], tuple[int, int]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        fences = re.findall(
            r"<<ANSWER_\d \w+>>\n(.*?)\n<<END", body["messages"][1]["content"], re.DOTALL
        )
        first, second = type(self).points(*fences)
        verdict = {"justification": "r", "score_answer_1": first, "score_answer_2": second}
        message = {"role": "assistant", "content": json.dumps(verdict)}
        usage = {"prompt_tokens": 100, "completion_tokens": 10}
        self._say({"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage})

    def do_GET(self) -> None:
        self._say({"id": "double"})

    def _say(self, told: Any) -> None:
        content = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def judging(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """`judging(points)` starts that double and makes it the server of all commands."""
    started: list[ThreadingHTTPServer] = []

    def start(points: Callable[[str, str], tuple[int, int]]) -> ThreadingHTTPServer:
        handler = type("Judging", (Judge,), {"points": staticmethod(points)})
        http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=http.serve_forever, daemon=True).start()
        monkeypatch.setenv("MODISTE_URL", f"http://127.0.0.1:{http.server_port}")
        started.append(http)
        return http

    yield start
    for http in started:
        http.shutdown()
        http.server_close()
