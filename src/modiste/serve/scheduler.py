"""Who runs next: first come, first served, and nobody who runs is stopped for anybody else.

Each step takes one token of every running sequence and fills up with pieces of prompts. Pieces end
at multiples of `GRANULE` counted from the sequence's own start, whatever the load, so what is
computed for a prompt never depends on its company. When all places are taken a request is refused
with the time until one is free. Torch-free; time comes in as an argument.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from modiste.serve.grammar import Constraint
from modiste.serve.sequence import Generate, Logprob, Request
from modiste.serve.slots import Slot

GRANULE = 64
STEP_TARGET_S = 0.05
"""Prompt pieces are taken while a step stays this short; running streams stall no longer."""
MOST_PIECES = 8


class Key(NamedTuple):
    """Who asked, and under which number."""

    connection: int
    number: int


@dataclass(eq=False)
class Sequence:
    """One request on its way through the engine."""

    key: Key
    request: Request
    seed: int
    end: int = 0
    """Length at which it stops, prompt included; known once its base is."""
    slot: Slot | None = None
    n_cached: int = 0
    """Tokens whose keys and values are in its cells."""
    block_keys: list[bytes] = field(default_factory=list)
    """One for each whole granule of a prompt that may be shared; see `serve.prefix`."""
    n_reused: int = 0
    """Tokens of the prompt that were copied instead of computed."""
    generated: list[int] = field(default_factory=list)
    counts: dict[int, int] = field(default_factory=dict)
    logprobs: list[Logprob] = field(default_factory=list)
    """Of the tokens of the prompt, where they are asked for."""
    vector: tuple[float, ...] = ()
    """Of an `Embed` that was read to its end."""
    compiling: Future[Constraint] | None = None
    constraint: Constraint | None = None

    @property
    def length(self) -> int:
        return len(self.request.ids) + len(self.generated)

    @property
    def reading(self) -> bool:
        """Part of the prompt is still to be computed."""
        return self.n_cached < len(self.request.ids)

    @property
    def rows_left(self) -> int:
        """Rows it will still take at most."""
        return self.end - self.n_cached

    @property
    def blocks_ahead(self) -> list[bytes]:
        """What of the prompt may be copied next. Its last piece, whole or not, is always computed:
        the first token is drawn from it."""
        done, n_ids = self.n_cached // GRANULE, len(self.request.ids)
        return self.block_keys[done : (n_ids - 1) // GRANULE]

    def add(self, token: int) -> None:
        self.generated.append(token)
        self.counts[token] = self.counts.get(token, 0) + 1


class Piece(NamedTuple):
    """Prompt tokens [start, end) of one sequence."""

    sequence: Sequence
    start: int
    end: int


class Plan(NamedTuple):
    base: str
    generating: list[Sequence]
    """One row each; rows of one adapter lie together."""
    pieces: list[Piece]


class Admission(StrEnum):
    STARTED = "started"
    ENDED = "ended"
    """Answered without running: refused, or nothing to generate."""
    LOADING = "loading"
    """Its base or adapter is not in memory yet; others may pass."""
    NO_ROOM = "no room"
    """Its base has no cells for it; later ones of the same base must not take them first."""


class Scheduler:
    def __init__(self, *, max_sequences: int, max_waiting: int) -> None:
        self.max_sequences, self.max_waiting = max_sequences, max_waiting
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []
        self.row_s, self.step_s = 0.002, 0.02
        """Moving averages: a row beside prompts, and a step. The first values are guesses."""

    @property
    def full(self) -> bool:
        return len(self.running) + len(self.waiting) >= self.max_sequences + self.max_waiting

    @property
    def idle(self) -> bool:
        return not (self.running or self.waiting)

    def retry_after_s(self) -> float:
        """When a place is free at the latest, if speed stays as it is: 1 to 60 s."""
        ends = [
            sequence.rows_left * (self.row_s if sequence.reading else self.step_s)
            for sequence in self.running
        ]
        return min(60.0, max(1.0, min(ends, default=1.0)))

    def admit(self, start: Callable[[Sequence], Admission]) -> None:
        """Offer the free places to those who wait, in their order.

        Who cannot start yet keeps its turn. `start` tells what became of it.
        """
        held_up: set[str] = set()
        for sequence in list(self.waiting):
            if len(self.running) >= self.max_sequences:
                return
            if sequence.request.base in held_up:
                continue
            match start(sequence):
                case Admission.STARTED:
                    self.waiting.remove(sequence)
                    self.running.append(sequence)
                case Admission.ENDED:
                    self.waiting.remove(sequence)
                case Admission.NO_ROOM:
                    held_up.add(sequence.request.base)
                case Admission.LOADING:
                    pass

    def plans(self) -> Iterator[Plan]:
        """One step's work for each base that has any."""
        for base in dict.fromkeys(sequence.request.base for sequence in self.running):
            mine = [s for s in self.running if s.request.base == base]
            generating = [s for s in mine if not s.reading]
            generating.sort(
                key=lambda s: (s.request.adapter or "", s.request.adapter_version or "")
            )
            yield Plan(base, generating, self._pieces([s for s in mine if s.reading], generating))

    def measured(self, plan: Plan, seconds: float) -> None:
        """Learn how fast steps are. A step without prompts says little about rows: it is mostly
        overhead."""
        n_rows = len(plan.generating) + sum(piece.end - piece.start for piece in plan.pieces)
        if plan.pieces:
            self.row_s += 0.3 * (seconds / n_rows - self.row_s)
        self.step_s += 0.2 * (seconds - self.step_s)

    def remove(self, sequence: Sequence) -> None:
        if sequence in self.waiting:
            self.waiting.remove(sequence)
        else:
            self.running.remove(sequence)

    def _pieces(self, reading: list[Sequence], generating: list[Sequence]) -> list[Piece]:
        rows = STEP_TARGET_S / self.row_s - len(generating)
        n_pieces = max(1, min(MOST_PIECES, int(rows // GRANULE)))
        pieces: list[Piece] = []
        planned: set[bytes] = set()
        for sequence in reading:
            n_ids, ahead = len(sequence.request.ids), sequence.blocks_ahead
            if planned.intersection(ahead[:1]):
                continue  # Another one computes just that; it is copied before the next step.
            planned.update(ahead)
            for start in range(sequence.n_cached, n_ids, GRANULE):
                if len(pieces) == n_pieces:
                    return pieces
                pieces.append(Piece(sequence, start, min(start + GRANULE, n_ids)))
        return pieces


def end_of(request: Request, context: int) -> int:
    """Length at which a request stops: its own limit or the context, whichever comes first."""
    if not isinstance(request, Generate):
        return len(request.ids)
    most = request.sampling.max_tokens
    return context if most is None else min(context, len(request.ids) + most)
