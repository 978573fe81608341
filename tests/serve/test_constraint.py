"""Answers are held to grammars by a process beside the engine, whose end is told."""

import os
import signal
import threading
from pathlib import Path

import numpy as np
import psutil
import pytest

import modiste
from modiste.errors import InvalidInput, ModisteError
from modiste.prepare import render
from modiste.serve.constraint import LOST, Grammars, Keeper, Place, places_bytes, places_of, take
from modiste.serve.grammar import Compiler
from modiste.serve.sequence import Grammar, GrammarKind

TINY = Path(modiste.__file__).parent / "bases" / "tiny"
YES = Grammar(GrammarKind.REGEX, "yes|no")


@pytest.fixture(scope="module")
def renderer():
    return render.load(TINY)


def children():
    """Processes of grammars below this one, those of other engines in it included."""
    return {
        process
        for process in psutil.Process().children()
        if process.status() != psutil.STATUS_ZOMBIE
        and "modiste.serve.grammar_child" in process.cmdline()
    }


@pytest.fixture
def others():
    return children()


@pytest.fixture
def grammars(others):
    woken = threading.Event()
    grammars = Grammars(TINY, wake=woken.set)
    yield grammars
    grammars.close()
    assert woken.is_set()


def own_child(others):
    (child,) = children() - others
    return child


def test_the_process_says_what_its_compiler_would_and_ends_when_it_is_left(
    grammars, others, renderer
):
    several = [grammars.compile(YES).result(60) for _ in range(2)]
    child = own_child(others)
    here = Compiler(TINY).compile(YES)
    tokens = renderer.encode("yes")
    for token in tokens:
        for constraint in several:
            allowed = constraint.allowed(renderer.vocab_size, ())
            bits = np.frombuffer(here.place.bits, np.uint8)
            expected = np.unpackbits(bits, count=renderer.vocab_size, bitorder="little")
            assert np.array_equal(allowed, expected.astype(bool))
            assert allowed[token]
        take([(constraint, token) for constraint in several])
        here.take(token)
    assert all(constraint.complete for constraint in several)
    with pytest.raises(InvalidInput, match="regex"):
        grammars.compile(Grammar(GrammarKind.REGEX, "(")).result(60)
    grammars.close()
    assert not child.is_running()


def test_whoever_is_held_by_a_process_that_dies_is_told_and_the_next_grammar_has_a_new_one(
    grammars, others, renderer
):
    asked, idle = (grammars.compile(YES).result(60) for _ in range(2))
    first = own_child(others)
    os.kill(first.pid, signal.SIGTERM)  # Meant for the engine, which may have answers to finish.
    token = renderer.encode("yes")[0]
    take([(asked, token)])
    assert asked.allowed(renderer.vocab_size, ()).any()
    first.kill()
    take([(asked, token)])
    assert (asked.problem, asked.lost) == (LOST, True)
    assert not asked.complete
    assert not asked.allowed(renderer.vocab_size, renderer.stop_ids).any()
    assert grammars.compile(YES).result(60).allowed(renderer.vocab_size, ())[token]
    assert own_child(others).pid != first.pid
    take([(idle, token)])
    assert idle.lost  # Its place was in the first process.


def test_a_process_that_dies_over_a_grammar_is_told(monkeypatch):
    monkeypatch.setattr("modiste.serve.constraint.CHILD", "this")  # Prints a text and ends.
    keeper = Keeper(TINY)
    with pytest.raises(ModisteError, match="ended; send this again") as caught:
        keeper.compile(YES)
    assert caught.value.error_code == "engine_restarting"
    assert not keeper.alive


def test_places_come_through_as_they_were():
    places = [
        Place(True, True, "", b""),
        Place(False, False, "é", b"\x01\x80"),
        Place(0, 1, "", b"x"),
    ]
    assert places_of(places_bytes(places)) == places
    assert places_of(places_bytes([])) == []
