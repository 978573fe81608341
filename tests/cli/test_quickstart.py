"""`modiste quickstart`: what it prints can be used, and the whole of it works."""

import json
import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from modiste import settings
from modiste.cli import quickstart
from modiste.cli.compare import Comparison, Item
from modiste.prepare.synthesize import DEPARTMENTS
from modiste.work import supervisor

ROOT = Path(__file__).parents[2]

ROWS = [
    {"messages": [{"role": "user", "content": "It's “late”:\n\nwhy?"}]},
    {"messages": [{"role": "user", "content": "Where \\ is\n\nmy $HOME?"}]},
]


@pytest.fixture
def ways(home: Path) -> dict[str, str]:
    wanted = settings.load()
    return quickstart.three_ways(wanted, "http://127.0.0.1:8321", "ft:m:x", ROWS)


def test_the_three_lines_hold_no_secret_and_stand_on_one_line(home: Path, ways) -> None:
    assert len(ways) == 3
    for line in ways.values():
        assert "\n" not in line
        assert str(home) in line


def test_the_curl_line_says_to_the_shell_what_it_means(home: Path, ways) -> None:
    home.mkdir()
    (home / "admin.key").write_text("mod_secret\n")
    said = subprocess.run(
        ["bash", "-c", f"curl() {{ printf '%s\\n' \"$@\"; }}; {ways['curl']}"],
        capture_output=True, text=True,
    ).stdout.splitlines()  # fmt: skip
    assert "Authorization: Bearer mod_secret" in said
    body = json.loads(said[said.index("-d") + 1])
    assert body["messages"] == ROWS[1]["messages"]
    assert (body["model"], body["temperature"]) == ("ft:m:x", 0)


def test_the_chat_line_says_to_the_shell_what_it_means(home: Path, ways) -> None:
    line = ways["modiste chat"].replace(shlex.split(ways["modiste chat"])[1], "echo_back", 1)
    said = subprocess.run(
        ["bash", "-c", f"echo_back() {{ printf '%s' \"${{@: -1}}\"; }}; {line}"],
        capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert said == ROWS[1]["messages"][0]["content"]


def test_the_python_line_compiles_and_asks_the_question(ways) -> None:
    line = next(line for name, line in ways.items() if "mistralai" in name)
    program = shlex.split(line)[2]
    compile(program, "line", "exec")
    assert json.dumps(ROWS[1]["messages"][0]["content"]) in program


def test_answers_of_each_kind_are_shown_the_wrong_ones_too() -> None:
    items = [Item("q", e, "x", t) for e, t in [("a", "a"), ("a", "a"), ("b", "wrong")]]
    shown = quickstart._telling(Comparison(tuple(items), 0, None))
    assert [(i.expected, i.tuned) for i in shown] == [("a", "a"), ("b", "wrong")]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_quickstart_makes_a_better_model_and_its_three_lines_call_it(
    modiste, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MODISTE_PORT", str(free.getsockname()[1]))
    here = Path(sys.executable).parent
    # As `make quickstart` does it, where everything is installed.
    first = subprocess.run(
        ["make", "-o", "install", "quickstart", f"BIN={here}"],
        cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=800,
    )  # fmt: skip
    assert first.returncode == 0, first.stderr
    assert "Verdict: better" in first.stdout
    lines = first.stdout.splitlines()
    ways = [lines[i + 1] for i, line in enumerate(lines) if line[:3] in ("1. ", "2. ", "3. ")]
    assert len(ways) == 3

    # `modiste` is in this environment; the mistralai client has one of its own (make clients).
    client = ROOT / ".clients" / "mistralai-2.5.1" / "bin"
    path = f"{client}:{here}:{os.environ['PATH']}"
    with supervisor.running(settings.load(), report=print):
        for line in ways if client.exists() else ways[1:]:
            answer = subprocess.run(
                ["bash", "-c", line], capture_output=True, text=True, timeout=60,
                env={**os.environ, "PATH": path},
            )  # fmt: skip
            assert answer.returncode == 0, answer.stderr
            assert any(department in answer.stdout for department in DEPARTMENTS)

    # The same data once more, in a few steps: that it learns is seen above.
    monkeypatch.setattr(quickstart, "RECIPE", quickstart.RECIPE | {"max_steps": 3})
    again = modiste("quickstart", "--json")
    assert again.code == 0, again.err
    report = again.json
    assert report["model"] not in first.stdout
    assert report["loss"][-1][0] == 3
    assert report["tuned"]["n"] == report["difference"]["n"] == len(report["answers"])
    assert len(modiste("files", "list", "--json").json["data"]) == 2, "the same files, once"
