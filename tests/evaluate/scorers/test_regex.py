"""Regular expressions over answers."""

import threading

import pytest

from modiste.errors import InvalidInput
from modiste.evaluate.items import Status
from modiste.evaluate.scorers.regex import matches


def test_a_match_is_enough_unless_it_is_compared(bench) -> None:
    ticket = bench("regex", pattern=r"(?i)ticket #\d+")
    assert ticket.score("see TICKET #12").value == 1
    assert ticket.score("no ticket").value == 0


def test_the_last_match_is_compared_by_its_group(bench) -> None:
    last = bench("regex", pattern=r"answer: (\w+)", group=1, compare=True)
    first = bench("regex", pattern=r"answer: (\w+)", group=1, compare=True, take="first")
    text = "answer: red, no, answer: blue"
    assert (last.score(text, "blue").value, first.score(text, "blue").value) == (1, 0)
    assert last.score(text, "blue").label == "blue"
    assert last.score("nothing", "blue").value == 0


def test_a_named_group_is_found(bench) -> None:
    named = bench("regex", pattern=r"<(?P<tag>\w+)>", group="tag", compare=True, normalise="loose")
    assert named.score("<B>", "b").value == 1


def test_a_pattern_that_never_ends_is_stopped(bench) -> None:
    score = bench("regex", pattern=r"^(?:(\w)|(\w)\2?)*$").score("a" * 40 + "!")
    assert score.status is Status.TIMEOUT


def test_bad_patterns_and_groups_are_refused_when_the_suite_is_read(bench) -> None:
    with pytest.raises(InvalidInput, match="no regular expression"):
        bench("regex", pattern="(")
    with pytest.raises(InvalidInput, match="group is 2; the pattern has 0, 1"):
        bench("regex", pattern="(a)", group=2)


def test_other_threads_go_on_while_a_pattern_is_matched() -> None:
    ended = threading.Event()

    def match() -> None:
        with pytest.raises(TimeoutError):
            matches(r"(a|aa)+$", "a" * 200 + "b", limit_s=0.3)
        ended.set()

    threading.Thread(target=match).start()
    turns = 0
    while not ended.wait(0.005):
        turns += 1
    assert turns >= 5
