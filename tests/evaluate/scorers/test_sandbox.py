"""A child that runs what nobody vouches for."""

import os
import time
from pathlib import Path

import pytest

from modiste.evaluate.scorers.sandbox import ChildFailed, Sandbox

CHILD = """
import json, os, sys, time
for line in sys.stdin:
    asked = json.loads(line)
    if asked.get("sleep"): time.sleep(asked["sleep"])
    if asked.get("fork") and os.fork() == 0: time.sleep(600)
    if asked.get("die"): os._exit(3)
    if asked.get("flood"): sys.stdout.write("x" * 5_000_000); sys.stdout.flush()
    print(json.dumps({"pid": os.getpid(), "env": dict(os.environ), "cwd": os.getcwd()}), flush=True)
"""


@pytest.fixture
def child(tmp_path: Path):
    program = tmp_path / "child.py"
    program.write_text(CHILD)
    sandbox = Sandbox(program)
    yield sandbox
    sandbox.close()


def test_one_process_answers_many_requests_without_our_environment(child, monkeypatch) -> None:
    monkeypatch.setenv("MODISTE_API_KEY", "secret")
    first, second = child.ask({}, limit_s=20), child.ask({}, limit_s=20)
    assert first["pid"] == second["pid"] != os.getpid()
    assert "MODISTE_API_KEY" not in first["env"]
    child.close()
    assert not Path(first["cwd"]).exists()


def test_what_hangs_is_killed_with_all_it_started_and_begun_anew(child) -> None:
    before = child.ask({}, limit_s=20)["pid"]
    started = time.monotonic()
    with pytest.raises(ChildFailed, match=r"stopped after 0\.3 s") as failed:
        child.ask({"fork": True, "sleep": 600}, limit_s=0.3)
    assert failed.value.timed_out
    assert time.monotonic() - started < 30
    with pytest.raises(ProcessLookupError):
        os.killpg(before, 0)
    assert child.ask({}, limit_s=20)["pid"] != before


def test_a_child_that_dies_or_floods_is_a_failure_and_not_a_hang(child) -> None:
    with pytest.raises(ChildFailed, match="ended: exit status 3") as failed:
        child.ask({"die": True}, limit_s=20)
    assert not failed.value.timed_out
    with pytest.raises(ChildFailed, match="more than 4000000 bytes"):
        child.ask({"flood": True}, limit_s=20)
    assert child.ask({}, limit_s=20)["pid"]
