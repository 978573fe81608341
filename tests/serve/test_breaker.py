"""The circuit breaker: when it opens, whom it lets try, and how it closes."""

from __future__ import annotations

import pytest

from modiste.errors import Unavailable
from modiste.serve.breaker import Breaker, State


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(failures=3, pause_s=10, longest_pause_s=30, clock=clock)


def fail(breaker: Breaker, n: int) -> None:
    for _ in range(n):
        breaker.enter("big")
        breaker.failed("status 500")


def test_it_opens_after_failures_in_a_row_and_says_when_to_come_back(
    breaker: Breaker, clock: Clock
) -> None:
    fail(breaker, 2)
    breaker.enter("big")
    breaker.succeeded()
    fail(breaker, 3)
    assert breaker.state is State.OPEN
    clock.now = 4.0
    with pytest.raises(Unavailable, match=r"big failed 3 times.*status 500") as told:
        breaker.enter("big")
    assert (told.value.error_code, told.value.retry_after_s) == ("upstream_down", 6.0)


def test_one_request_tries_after_the_pause_and_closes_it(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now = 10.0
    assert breaker.state is State.HALF_OPEN
    breaker.enter("big")
    with pytest.raises(Unavailable):
        breaker.enter("big")
    breaker.succeeded()
    assert (breaker.state, breaker.last_failure) == (State.CLOSED, None)
    breaker.enter("big")


def test_a_try_that_fails_opens_it_for_twice_as_long_up_to_a_limit(
    breaker: Breaker, clock: Clock
) -> None:
    fail(breaker, 3)
    for pause_s in (20.0, 30.0, 30.0):
        clock.now = 1000.0 + clock.now
        fail(breaker, 1)
        clock.now += pause_s - 0.1
        assert breaker.state is State.OPEN
        clock.now += 0.2
        assert breaker.state is State.HALF_OPEN


def test_a_try_without_a_verdict_lets_the_next_one_try(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now = 10.0
    breaker.enter("big")
    breaker.undecided()
    breaker.enter("big")
