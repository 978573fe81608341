"""A child that cannot outlive its parent."""

import os
import subprocess
import sys

from modiste.work import child


def test_the_module_runs_as_main_with_its_own_arguments() -> None:
    result = subprocess.run(child.command("json.tool", "--help"), capture_output=True, text=True)
    assert result.returncode == 0
    assert "usage" in result.stdout


def test_an_exit_code_of_the_module_is_kept() -> None:
    result = subprocess.run(child.command("json.tool", "--nonsense"), capture_output=True)
    assert result.returncode == 2


def test_a_child_whose_parent_is_gone_already_does_not_start() -> None:
    command = [sys.executable, "-m", "modiste.work.child", str(os.getpid() + 1), "json.tool", "-h"]
    assert subprocess.run(command, capture_output=True).returncode == 1


def test_a_job_computes_on_some_processors_at_once() -> None:
    assert 1 <= child.processors() <= child.MAX_PROCESSES


def test_a_process_can_end_with_another_that_is_not_its_parent() -> None:
    sleep = "import time; time.sleep(60)"
    other = subprocess.Popen([sys.executable, "-c", sleep])
    code = f"from modiste.work import child; child.die_with({other.pid}); {sleep}"
    tied = subprocess.Popen([sys.executable, "-c", code])
    try:
        other.kill()
        other.wait()
        assert tied.wait(timeout=60) == 1
    finally:
        tied.kill()
