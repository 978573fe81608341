"""Answers held to grammars, as the engine sees them: a process beside it keeps the grammars.

llguidance holds the interpreter's lock for half a second while it reads a vocabulary of 131,000
tokens, and a renderer takes another second to load; in the engine's process every stream would wait
for the first grammar of a base. So each base with grammars has a process (`serve.grammar_child`),
started by the first of them, that ends with the engine, and only the request that brought the
grammar waits. Tokens go there once a step for all answers, and which may come next comes back.

No request ends without its caller being told: where that process dies, its answers are broken off
as by an engine that restarts, and the next grammar starts a new one.

Legend: V vocabulary of the base, whose tokenizer may know fewer.
"""

from __future__ import annotations

import struct
import subprocess
import sys
import weakref
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing import Pipe
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import orjson

from modiste.errors import InvalidInput, ModisteError
from modiste.serve.sequence import FailureCode, Grammar

CHILD = "modiste.serve.grammar_child"
HEAD = struct.Struct(">I")
LOST = "the process that holds answers to their grammars ended; send this again"


class Place(NamedTuple):
    """Where an answer stands in its grammar."""

    complete: bool
    """It matches and cannot go on."""
    accepting: bool
    """It matches."""
    problem: str
    """Why the grammar cannot be followed any further; empty while it can."""
    bits: bytes
    """Which tokens go on in it, one bit each, those that end answers left out. Empty where none
    does."""


GONE = Place(complete=False, accepting=False, problem=LOST, bits=b"")


class Constraint:
    """One answer's place in its grammar. Owned by the thread that steps."""

    def __init__(self, keeper: Keeper, number: int, place: Place, *, after: int | None) -> None:
        self.keeper, self.number = keeper, number
        self._place, self._awaited = place, after
        weakref.finalize(self, keeper.dropped.append, number)

    @property
    def complete(self) -> bool:
        """The answer matches and cannot go on."""
        return self._awaited is None and self._at.complete

    @property
    def problem(self) -> str:
        """Why the grammar cannot be followed any further; empty while it can."""
        return self._at.problem

    @property
    def lost(self) -> bool:
        """It is not the grammar's fault that it cannot be followed."""
        return self._at is GONE

    def allowed(self, n_vocab: int, stop_ids: Collection[int]) -> npt.NDArray[np.bool_] | None:
        """Which tokens may come next; None where all may."""
        if self._awaited is not None:
            return None
        place, allowed_V = self._at, np.zeros(n_vocab, np.bool_)
        if place.bits:
            bits = np.frombuffer(place.bits, np.uint8)
            allowed_V = np.unpackbits(bits, count=n_vocab, bitorder="little").astype(np.bool_)
        if place.accepting:
            allowed_V[[token for token in stop_ids if token < n_vocab]] = True
        return allowed_V

    def passes(self, token: int) -> bool:
        """Whether `token` is still before the grammar."""
        if self._awaited is None:
            return False
        self._awaited = None if token == self._awaited else self._awaited
        return True

    def move(self, place: Place) -> None:
        self._place = place

    @property
    def _at(self) -> Place:
        self.keeper.settle()
        return self._place


class Keeper:
    """The process that keeps one base's grammars. One thread compiles, another one takes tokens."""

    def __init__(self, base: Path) -> None:
        self._compile, theirs = Pipe()
        self._steps, steps = Pipe()
        passed = (theirs.fileno(), steps.fileno())
        self._process = subprocess.Popen(
            [sys.executable, "-m", CHILD, str(base), *map(str, passed)],
            pass_fds=passed,
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        steps.close()
        self.dropped: deque[int] = deque()
        """Numbers of answers that nobody follows any more."""
        self._asked: list[Constraint] = []
        self._count = 0
        self._lost = False
        """Its pipes close a moment before it counts as dead."""
        self.close = weakref.finalize(self, _end, self._process)

    @property
    def alive(self) -> bool:
        return not self._lost and self._process.poll() is None

    def compile(self, grammar: Grammar) -> Constraint:
        """
        Raises:
            InvalidInput: the grammar means nothing; the message says what is wrong.
            ModisteError: the process ended.
        """
        self._count += 1
        asked = [self._count, grammar.kind, grammar.text, grammar.begun]
        try:
            self._compile.send_bytes(orjson.dumps(asked))
            said = self._compile.recv_bytes()
        except (EOFError, OSError):
            self._lost = True
            raise ModisteError(LOST, code=FailureCode.RESTARTING) from None
        if refusal := refusal_of(said):
            raise refusal
        (place,) = places_of(said)
        return Constraint(self, self._count, place, after=grammar.after)

    def take(self, moves: Sequence[tuple[Constraint, int]]) -> None:
        """These tokens were drawn, and do not end their answers."""
        self.settle()
        dropped = [self.dropped.popleft() for _ in range(len(self.dropped))]
        asked = [[(one.number, token) for one, token in moves], dropped]
        self._asked = [one for one, _ in moves]
        try:
            self._steps.send_bytes(orjson.dumps(asked))
        except OSError:
            self._lose()

    def settle(self) -> None:
        """Wait for what the last tokens lead to."""
        if not self._asked:
            return
        try:
            places = places_of(self._steps.recv_bytes())
        except (EOFError, OSError):
            self._lose()
            return
        for one, place in zip(self._asked, places, strict=True):
            one.move(place)
        self._asked = []

    def _lose(self) -> None:
        self._lost = True
        for one in self._asked:
            one.move(GONE)
        self._asked = []


class Grammars:
    """Compiles for one base. Its process is started when the first grammar comes, and kept."""

    def __init__(self, base: Path, *, wake: Callable[[], None]) -> None:
        """`wake` is called, from another thread, when a grammar is compiled."""
        self._base, self._wake = base, wake
        self._pool = ThreadPoolExecutor(1, "grammars")
        self._keeper: Keeper | None = None

    def compile(self, grammar: Grammar) -> Future[Constraint]:
        """Ends in `InvalidInput` where the grammar means nothing, with what is wrong."""
        future = self._pool.submit(self._compile, grammar)
        future.add_done_callback(lambda _: self._wake())
        return future

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._keeper is not None:
            self._keeper.close()

    def _compile(self, grammar: Grammar) -> Constraint:
        if self._keeper is None or not self._keeper.alive:
            self._keeper = Keeper(self._base)
        return self._keeper.compile(grammar)


def take(moves: Iterable[tuple[Constraint, int]]) -> None:
    """These tokens were drawn, and do not end their answers."""
    of_keepers: dict[Keeper, list[tuple[Constraint, int]]] = {}
    for constraint, token in moves:
        if not constraint.passes(token):
            of_keepers.setdefault(constraint.keeper, []).append((constraint, token))
    for keeper, of_keeper in of_keepers.items():
        keeper.take(of_keeper)


def places_bytes(places: Sequence[Place]) -> bytes:
    """A frame: the length of its JSON, the JSON, and the bits of all places behind each other."""
    told = [(one.complete, one.accepting, one.problem, len(one.bits)) for one in places]
    head = orjson.dumps(told)
    return HEAD.pack(len(head)) + head + b"".join(one.bits for one in places)


def places_of(frame: bytes) -> list[Place]:
    at = HEAD.size + HEAD.unpack_from(frame)[0]
    places = []
    for complete, accepting, problem, n_bytes in orjson.loads(frame[HEAD.size : at]):
        places.append(Place(complete, accepting, problem, frame[at : at + n_bytes]))
        at += n_bytes
    return places


def refusal_bytes(error: ModisteError) -> bytes:
    """The frame of a grammar that was refused, told from places by an empty head."""
    refused = isinstance(error, InvalidInput)
    return HEAD.pack(0) + orjson.dumps([refused, error.message, error.error_code])


def refusal_of(frame: bytes) -> ModisteError | None:
    if HEAD.unpack_from(frame)[0]:
        return None
    refused, message, code = orjson.loads(frame[HEAD.size :])
    return InvalidInput(message, code=code) if refused else ModisteError(message, code=code)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
