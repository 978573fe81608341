from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from modiste.errors import InvalidInput
from modiste.prepare.checks.parallel import ordered

needs_fork = pytest.mark.skipif(sys.platform != "linux", reason="forked on Linux only")
START = """
import os, signal
from modiste.errors import Unavailable
from modiste.prepare.checks.parallel import ordered
"""


def alone(code: str) -> str:
    """What the code prints in a process of its own: other tests leave threads in this one, and
    beside threads nothing is forked."""
    done = subprocess.run(
        [sys.executable, "-c", START + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("n", [0, 1, 2, 40])
def test_answers_come_in_the_order_of_the_items(workers, n):
    def slow_if_even(at: int) -> int:
        time.sleep(0.002 * (at % 2 == 0))
        return at * at

    assert list(ordered(slow_if_even, range(n), workers=workers)) == [at * at for at in range(n)]


@needs_fork
def test_the_work_is_done_by_others():
    said = alone("""
        pids = set(ordered(lambda _: os.getpid(), range(8), workers=2))
        print(len(pids), os.getpid() in pids)
    """)

    assert said == "2 False"


@needs_fork
def test_large_items_and_answers_do_not_block_each_other():
    said = alone("""
        text = b"x" * 3_000_000
        print(all(a == text for a in ordered(lambda data: data, [text] * 6, workers=2)))
    """)

    assert said == "True"


def test_an_error_of_the_function_is_raised_here():
    def fail(at: int) -> int:
        if at == 3:
            raise InvalidInput("three")
        return at

    with pytest.raises(InvalidInput, match="three"):
        list(ordered(fail, range(9), workers=2))


@needs_fork
def test_a_process_that_is_killed_is_named():
    said = alone("""
        parent = os.getpid()

        def die(at):
            if at == 3 and os.getpid() != parent:
                os.kill(os.getpid(), signal.SIGKILL)
            return at

        try:
            list(ordered(die, range(9), workers=2))
        except Unavailable as error:
            print(error.message)
    """)

    assert "memory" in said


@needs_fork
def test_nobody_is_left_when_the_reader_leaves():
    said = alone("""
        answers = ordered(lambda _: os.getpid(), range(100), workers=2)
        pid = next(answers)
        answers.close()
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            print(pid != os.getpid())
    """)

    assert said == "True"


def test_beside_other_threads_everything_happens_here():
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        assert set(ordered(lambda _: os.getpid(), range(4), workers=2)) == {os.getpid()}
    finally:
        done.set()
        thread.join()
