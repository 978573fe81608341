from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from modiste.errors import InvalidInput, Unavailable
from modiste.prepare.checks.parallel import can_fork, ordered

needs_fork = pytest.mark.skipif(not can_fork(), reason="processes are forked on Linux only")


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("n", [0, 1, 2, 40])
def test_answers_come_in_the_order_of_the_items(workers, n):
    def slow_if_even(at: int) -> int:
        time.sleep(0.002 * (at % 2 == 0))
        return at * at

    assert list(ordered(slow_if_even, range(n), workers=workers)) == [at * at for at in range(n)]


@needs_fork
def test_the_work_is_done_by_others():
    pids = set(ordered(lambda _: os.getpid(), range(8), workers=2))

    assert os.getpid() not in pids
    assert len(pids) == 2


@needs_fork
def test_large_items_and_answers_do_not_block_each_other():
    text = b"x" * 3_000_000

    assert all(a == text for a in ordered(lambda data: data, [text] * 6, workers=2))


def test_an_error_of_the_function_is_raised_here():
    def fail(at: int) -> int:
        if at == 3:
            raise InvalidInput("three")
        return at

    with pytest.raises(InvalidInput, match="three"):
        list(ordered(fail, range(9), workers=2))


@needs_fork
def test_a_process_that_is_killed_is_named():
    def die(at: int) -> int:
        if at == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return at

    with pytest.raises(Unavailable, match="memory"):
        list(ordered(die, range(9), workers=2))


@needs_fork
def test_nobody_is_left_when_the_reader_leaves():
    answers = ordered(lambda _: os.getpid(), range(100), workers=2)
    pid = next(answers)
    answers.close()

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_beside_other_threads_everything_happens_here():
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        assert set(ordered(lambda _: os.getpid(), range(4), workers=2)) == {os.getpid()}
    finally:
        done.set()
        thread.join()
