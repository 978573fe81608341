"""The process beside the engine that keeps one base's grammars, and answers' places in them.

    python -m modiste.serve.grammar_child BASE COMPILE_FD STEPS_FD

It compiles what comes in at one pipe on a thread of its own, and takes tokens at the other, all
answers' of a step at once; `serve.constraint` is the other end of both. It ends when that one is
gone, and not with a signal that is meant for the engine, which may still have answers to finish.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Thread
from typing import Any

import orjson

from modiste.errors import ModisteError
from modiste.serve.constraint import places_bytes, refusal_bytes
from modiste.serve.grammar import Compiler, Match
from modiste.serve.sequence import Grammar, GrammarKind

log = logging.getLogger(__name__)


class Child:
    def __init__(self, base: Path) -> None:
        self._compiler = Compiler(base)
        self._matches: dict[int, Match] = {}

    def compiles(self, asked: list[Any]) -> bytes:
        """The frame with where an answer begins, or with what is wrong."""
        number, kind, text, begun = asked
        try:
            match = self._compiler.compile(Grammar(GrammarKind(kind), text, begun=begun))
            told = places_bytes([match.place])
        except ModisteError as error:
            return refusal_bytes(error)
        except Exception as error:  # The edge of this process; whoever asked is told.
            log.exception("a grammar could not be compiled")
            return refusal_bytes(ModisteError(f"the grammar could not be compiled: {error}"))
        self._matches[number] = match
        return told

    def steps(self, asked: list[Any]) -> bytes:
        """The frame with where answers are after their next tokens."""
        moves, dropped = asked
        for number in dropped:
            self._matches.pop(number, None)
        for number, token in moves:
            self._matches[number].take(token)
        return places_bytes([self._matches[number].place for number, _ in moves])


def main(argv: list[str]) -> int:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    base, compile_fd, steps_fd = argv
    child = Child(Path(base))
    compiling = Connection(int(compile_fd))
    Thread(target=_answer, args=(compiling, child.compiles), daemon=True).start()
    _answer(Connection(int(steps_fd)), child.steps)
    os._exit(0)  # Whatever is being compiled is no longer wanted.


def _answer(pipe: Connection, answer: Callable[[list[Any]], bytes]) -> None:
    with suppress(EOFError, OSError):
        while True:
            pipe.send_bytes(answer(orjson.loads(pipe.recv_bytes())))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
