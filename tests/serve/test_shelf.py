"""Things load once, stay while pinned, and go when something else needs the room."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from modiste.serve.shelf import Shelf


class Library:
    def __init__(self, *, limit=3):
        self.loads, self.woken, self.gate = [], threading.Event(), threading.Event()
        self.gate.set()
        self.pool = ThreadPoolExecutor(1)
        self.shelf = Shelf(
            self.load,
            size_bytes=lambda key: len(key),
            limit_bytes=limit,
            pool=self.pool,
            on_loaded=self.woken.set,
        )

    def load(self, key):
        self.gate.wait(10)
        self.loads.append(key)
        if key == "?":
            raise ValueError("unreadable")
        return key.upper()

    def fetch(self, key):
        """Ask until it is there."""
        for _ in range(100):
            self.woken.clear()
            if (thing := self.shelf.get(key)) is not None:
                return thing
            self.woken.wait(5)
        raise AssertionError("never loaded")


@pytest.fixture
def library():
    one = Library()
    yield one
    one.gate.set()
    one.pool.shutdown()


def test_asking_does_not_wait_and_loads_once(library):
    library.gate.clear()
    assert library.shelf.get("a") is None
    assert library.shelf.get("a") is None
    library.gate.set()
    assert library.fetch("a") == "A"
    assert library.shelf.get("a") == "A"
    assert library.loads == ["a"]


def test_a_failed_load_is_told_and_tried_again(library):
    for _ in range(2):
        with pytest.raises(ValueError, match="unreadable"):
            library.fetch("?")
    assert library.loads == ["?", "?"]


def test_the_least_recently_used_makes_room(library):
    for key in "abc":
        library.fetch(key)
    library.shelf.get("a")
    library.fetch("d")
    assert set(library.shelf.held()) == {"a", "c", "d"}


def test_what_is_pinned_stays_and_newcomers_wait(library):
    for key in "abc":
        library.fetch(key)
        library.shelf.pin(key)
    assert library.shelf.get("d") is None
    assert set(library.shelf.held()) == {"a", "b", "c"}
    library.shelf.unpin("b")
    assert library.fetch("d") == "D"
    assert set(library.shelf.held()) == {"a", "c", "d"}


def test_something_larger_than_the_shelf_still_gets_an_empty_one(library):
    library.fetch("a")
    assert library.fetch("large") == "LARGE"
    assert set(library.shelf.held()) == {"large"}
