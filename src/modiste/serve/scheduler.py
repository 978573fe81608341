"""Who runs next: each owner its share, in the order of arrival among its own.

Each step takes one token of every running sequence and fills up with pieces of prompts. Pieces end
at multiples of `GRANULE` counted from the sequence's own start, whatever the load, so what is
computed for a prompt never depends on its company.

Every row that is computed is counted for its owner; places and pieces go to the owner who had
least. An owner who comes back after a pause has neither credit nor debt. Nobody who runs is stopped
for another owner; when memory runs out the sequence that started last makes room and waits first in
its owner's line. When all places are taken a request is refused with the time until one is free.
Torch-free; time comes in as an argument.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain
from typing import NamedTuple

from modiste.serve.constraint import Constraint
from modiste.serve.sequence import Generate, Logprob, Request
from modiste.serve.slots import Slot

GRANULE = 64
STEP_TARGET_S = 0.04
"""Prompt pieces are taken while a step should stay this short. Running streams stall for less than
50 ms then: what a row takes is an estimate, and the way to the reader takes a few more."""
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
    fingerprint: str = ""
    """Of the base it runs on; see `serve.fingerprint`."""
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
    def n_unread(self) -> int:
        return max(0, len(self.request.ids) - self.n_cached)

    @property
    def repeating(self) -> bool:
        """Its next row is of a token whose successor is known: it once had to make room."""
        return self.n_cached + 1 < self.length

    def begin_again(self) -> None:
        """Forget what was computed; keep what was told."""
        self.n_cached = 0
        self.logprobs = []
        if not self.generated:
            self.n_reused = 0

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
        """In the order in which they started."""
        self.row_s, self.step_s = 0.002, 0.02
        """Moving averages: a row beside prompts, and a step. The first values are guesses."""
        self.answer_tokens: float | None = None
        """Of answers that ended, on the average."""
        self._served: dict[str, float] = {}
        """Rows computed for each owner who is here."""

    @property
    def full(self) -> bool:
        return len(self.running) + len(self.waiting) >= self.max_sequences + self.max_waiting

    @property
    def idle(self) -> bool:
        return not (self.running or self.waiting)

    def retry_after_s(self) -> float:
        """When a place is expected to be free, if speed and lengths stay as they are: 1 to 60 s."""
        return min(60.0, max(1.0, min(map(self._left_s, self.running), default=1.0)))

    def done_in_s(self) -> float:
        """When all who are here are expected to have ended. Infinite while some wait for a place:
        how much is theirs is not known before they run."""
        if self.waiting:
            return float("inf")
        return max(map(self._left_s, self.running), default=0.0)

    def add(self, sequence: Sequence) -> None:
        owner = sequence.request.owner
        if owner not in self._served:
            self._served[owner] = min(self._served.values(), default=0.0)
        self.waiting.append(sequence)

    def displaced_by(self, owner: str) -> Sequence | None:
        """Of a full line, who leaves for a request of `owner`: the latest of whoever waits with
        most, if that stays more than `owner` has."""
        counts = Counter(sequence.request.owner for sequence in self.waiting)
        greediest = max(counts, key=counts.__getitem__, default=owner)
        if counts[greediest] <= counts[owner] + 1:
            return None
        return next(s for s in reversed(self.waiting) if s.request.owner == greediest)

    def admit(self, start: Callable[[Sequence], Admission]) -> None:
        """Offer the free places to those who wait. Who cannot start yet keeps its turn; `start`
        tells what became of it."""
        lines: dict[str, deque[Sequence]] = {}
        for sequence in self.waiting:
            lines.setdefault(sequence.request.owner, deque()).append(sequence)
        due = {owner: self._served[owner] for owner in lines}
        for sequence in self.running:  # What they have still to read is as good as computed.
            if sequence.request.owner in due:
                due[sequence.request.owner] += sequence.n_unread
        held_up: set[str] = set()
        while lines and len(self.running) < self.max_sequences:
            owner = min(lines, key=due.__getitem__)
            sequence = lines[owner].popleft()
            if not lines[owner]:
                del lines[owner]
            if sequence.request.base in held_up:
                continue
            match start(sequence):
                case Admission.STARTED:
                    self.waiting.remove(sequence)
                    self.running.append(sequence)
                    due[owner] += sequence.n_unread
                case Admission.ENDED:
                    self.waiting.remove(sequence)
                    self._leave(owner)
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
            for sequence in generating:
                self._served[sequence.request.owner] += 1
            yield Plan(base, generating, self._pieces([s for s in mine if s.reading], generating))

    def make_way(self, base: str) -> Sequence:
        """The sequence that started last on `base` stops running and waits first in line."""
        sequence = next(s for s in reversed(self.running) if s.request.base == base)
        self.running.remove(sequence)
        self.waiting.appendleft(sequence)
        sequence.begin_again()
        return sequence

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
            if n := len(sequence.generated):
                self.answer_tokens = 0.9 * (self.answer_tokens or n) + 0.1 * n
        self._leave(sequence.request.owner)

    def _leave(self, owner: str) -> None:
        if not any(s.request.owner == owner for s in chain(self.running, self.waiting)):
            del self._served[owner]

    def _left_s(self, sequence: Sequence) -> float:
        return sequence.n_unread * self.row_s + self._tokens_left(sequence) * self.step_s

    def _tokens_left(self, sequence: Sequence) -> float:
        most = sequence.end - len(sequence.request.ids) - len(sequence.generated)
        if self.answer_tokens is None:
            return most
        return min(most, max(1.0, self.answer_tokens - len(sequence.generated)))

    def _pieces(self, reading: list[Sequence], generating: list[Sequence]) -> list[Piece]:
        rows = STEP_TARGET_S / self.row_s - len(generating)
        n_pieces = max(1, min(MOST_PIECES, int(rows // GRANULE)))
        lines: dict[str, deque[Piece]] = {}
        planned: set[bytes] = set()
        for sequence in sorted(reading, key=lambda one: self._served[one.request.owner]):
            n_ids, ahead = len(sequence.request.ids), sequence.blocks_ahead
            if planned.intersection(ahead[:1]):
                continue  # Another one computes just that; it is copied before the next step.
            planned.update(ahead)
            line = lines.setdefault(sequence.request.owner, deque())
            for start in range(sequence.n_cached, n_ids, GRANULE):
                if len(line) == n_pieces:
                    break
                line.append(Piece(sequence, start, min(start + GRANULE, n_ids)))
        pieces: list[Piece] = []
        while lines and len(pieces) < n_pieces:
            owner = min(lines, key=self._served.__getitem__)
            pieces.append(piece := lines[owner].popleft())
            self._served[owner] += piece.end - piece.start
            if not lines[owner]:
                del lines[owner]
        order = {sequence: at for at, sequence in enumerate(reading)}
        return sorted(pieces, key=lambda piece: (order[piece.sequence], piece.start))


def end_of(request: Request, context: int) -> int:
    """Length at which a request stops: its own limit or the context, whichever comes first."""
    if not isinstance(request, Generate):
        return len(request.ids)
    most = request.sampling.max_tokens
    return context if most is None else min(context, len(request.ids) + most)
