"""One base in memory and what runs on it: decoder, cells, adapters, and one step for all of them.

A sequence starts when its adapter is loaded and there are cells for its prompt, and takes more as
it grows; it keeps all of it until it stops. One that was stopped to make room starts again from its
prompt and computes its own tokens once more, row by row as they were, so that nobody can tell.
Every row of a step may go through another adapter or none.

Legend: N rows of a step, M rows that need logits, D hidden size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from modiste.errors import InvalidInput
from modiste.nn import deltas as deltas_
from modiste.nn.adapter_table import AdapterDeltas
from modiste.nn.class_heads import PublishedHeads, load_heads
from modiste.nn.decoder import Decoder, load_decoder
from modiste.nn.deltas import Group, RowDeltas, Stacks
from modiste.nn.heads_file import HeadPooling
from modiste.nn.linear import WEIGHT_BYTES, independent
from modiste.nn.parts import Span
from modiste.nn.shape import DecoderShape, read_shape
from modiste.nn.weights import expected_sizes
from modiste.serve import adapters, constraint, prefix, sampling
from modiste.serve.cells import Cells
from modiste.serve.constraint import Constraint, Grammars
from modiste.serve.fingerprint import facts, fingerprint
from modiste.serve.precision import Precision, precision_of
from modiste.serve.prefix import PrefixBlocks
from modiste.serve.scheduler import GRANULE, Admission, Piece, Plan, Sequence, end_of
from modiste.serve.sequence import Embed, FailureCode, Generate, Logprob, Pooling, Request, Score
from modiste.serve.shelf import Shelf
from modiste.serve.slots import ALIGNMENT, Slots
from modiste.settings import ServeLinear

MOST_HEADS = 64
"""Of classifiers, kept from request to request."""
NOT_NUMBERS = (
    "the model computed values that are not numbers: its weights or its adapter's are broken; "
    "train or download them again"
)


class AdapterKey(NamedTuple):
    folder: str
    version: str | None


class Drawn(NamedTuple):
    sequence: Sequence
    token: int
    logprob: Logprob | None


class Broken(NamedTuple):
    sequence: Sequence
    code: FailureCode
    message: str


class Outcome(NamedTuple):
    drawn: list[Drawn]
    broken: list[Broken]


class Room(NamedTuple):
    """What one base may take."""

    max_sequences: int
    cells_bytes: int
    adapters_bytes: int
    prefix_bytes: int
    linear: ServeLinear = ServeLinear.AUTO


class Lane:
    def __init__(
        self,
        decoder: Decoder,
        grammars: Grammars,
        precision: Precision,
        *,
        room: Room,
        pool: Executor,
        wake: Callable[[], None],
    ) -> None:
        """Adapters load on `pool`; `wake` is called when one is there."""
        self._decoder = decoder
        self.precision = precision
        self.kernels = decoder.kernels
        """Which compiled kernels run, or `torch`."""
        self.bits_depend_on = facts(
            linear=precision.kind.value, kernels=self.kernels, threads=torch.get_num_threads()
        )
        self.fingerprint = fingerprint(self.bits_depend_on)
        self._grammars = grammars
        self.shape = decoder.shape
        n = n_cells(self.shape, room)
        self.slots = Slots(room.max_sequences, size=min(self.shape.context, n), n_cells=n)
        self.context = min(self.shape.context, self.slots.n_cells)
        self.reproducible = all(independent(linear) for linear in decoder.linears()) and (
            decoder.kernels != "torch"
            or deltas_.independent(self.shape.hidden_size, self.shape.query_size)
        )
        """Whether this machine's kernels keep a row's bits whatever shares its step."""
        self.adapters: Shelf[AdapterKey, AdapterDeltas] = Shelf(
            lambda key: adapters.load_adapter(
                Path(key.folder), self.shape, dtype=precision.of_adapters
            ),
            size_bytes=lambda key: adapters.size_bytes(
                Path(key.folder), dtype=precision.of_adapters
            ),
            limit_bytes=room.adapters_bytes,
            pool=pool,
            on_loaded=wake,
        )
        self.prefix = PrefixBlocks(room.prefix_bytes)
        self._memory = Cells(self.shape, self.slots.n_addressed)
        self._cells = self._memory.key_values
        self._deltas: dict[Sequence, AdapterDeltas | None] = {}
        self._sums: dict[Sequence, Tensor] = {}
        """Of the states of texts that are read for their mean."""
        self._heads: dict[AdapterKey, PublishedHeads] = {}
        self._stacks = Stacks()

    def start(self, sequence: Sequence) -> Admission:
        """
        Raises:
            InvalidInput: with a `FailureCode`, when this can never run on this base.
        """
        request = sequence.request
        self._check(request)
        constrained = self._constrain(sequence)
        if isinstance(request, Embed) and request.pooling is Pooling.HEADS:
            self._heads_of(request)
        key, deltas = adapter_key(request), None
        if key is not None:
            deltas = self._adapter(key)
        if not constrained or (key is not None and deltas is None):
            return Admission.LOADING
        sequence.end = end_of(request, self.context)
        n_tokens = max(sequence.length, min(sequence.end, sequence.length + GRANULE))
        sequence.slot = self.slots.reserve(n_tokens)
        if sequence.slot is None:
            return Admission.NO_ROOM
        if key is not None:
            self.adapters.pin(key)
        self._deltas[sequence] = deltas
        sequence.fingerprint = self.fingerprint
        sequence.block_keys = self._block_keys(request)
        return Admission.STARTED

    def reuse(self, sequence: Sequence) -> None:
        """Copy what of the prompt is known by now."""
        assert sequence.slot is not None  # noqa: S101  # It runs, so it has one.
        for block in self.prefix.known(sequence.blocks_ahead):
            prefix.write(block, self._cells, sequence.slot.first + sequence.n_cached)
            sequence.n_cached += GRANULE
            sequence.n_reused += 0 if sequence.generated else GRANULE

    def grow(self, sequence: Sequence) -> bool:
        """Whether there is a cell for the sequence's next token."""
        assert sequence.slot is not None  # noqa: S101  # It runs, so it has one.
        return self.slots.grow(sequence.slot, sequence.n_cached + 1)

    def stop(self, sequence: Sequence) -> None:
        """Give back what `start` took."""
        if sequence.slot is not None:
            self._memory.give_back(sequence.slot, self.slots.release(sequence.slot))
            sequence.slot = None
            del self._deltas[sequence]
            self._sums.pop(sequence, None)
            if (key := adapter_key(sequence.request)) is not None:
                self.adapters.unpin(key)

    def close(self) -> None:
        self._grammars.close()

    @torch.inference_mode()
    def step(self, plan: Plan) -> Outcome:
        """Compute the plan's rows; tokens drawn come back and are taken by their grammars,
        log-probabilities of prompts are put into their sequences."""
        hidden_ND = self._forward(plan)
        rows = [row for row, one in enumerate(plan.generating) if not one.repeating]
        takers = [plan.generating[row] for row in rows]
        first = len(plan.generating)
        for piece in plan.pieces:
            sequence, request = piece.sequence, piece.sequence.request
            last = first + piece.end - piece.start
            if isinstance(request, Score):
                self._score(piece, hidden_ND[first:last], n_top=0)
            elif isinstance(request, Embed):
                self._pool(piece, hidden_ND[first:last], request)
            elif not sequence.generated:
                if request.prompt_logprobs is not None:
                    self._score(piece, hidden_ND[first:last], n_top=request.prompt_logprobs)
                if piece.end == len(request.ids):
                    rows.append(last - 1)
                    takers.append(sequence)
            first = last
        for sequence in plan.generating:
            sequence.n_cached += 1
        for piece in plan.pieces:
            piece.sequence.n_cached = piece.end
            self._remember(piece)
        return self._choose(hidden_ND[rows], takers) if rows else Outcome([], [])

    def _forward(self, plan: Plan) -> Tensor:
        ids: list[int] = []
        spans: list[Span] = []
        for sequence in plan.generating:
            spans.append(_span(len(ids), sequence, sequence.n_cached, sequence.n_cached + 1))
            ids.append(sequence.generated[sequence.n_cached - len(sequence.request.ids)])
        for piece in plan.pieces:
            spans.append(_span(len(ids), piece.sequence, piece.start, piece.end))
            ids += piece.sequence.request.ids[piece.start : piece.end]
        return self._decoder.hidden(
            torch.tensor(ids), spans, self._cells, deltas=self._row_deltas(plan, spans)
        )

    def _row_deltas(self, plan: Plan, spans: list[Span]) -> RowDeltas | None:
        n_generating = len(plan.generating)
        by_adapter = groupby(
            range(n_generating), key=lambda row: adapter_key(plan.generating[row].request)
        )
        generated = []
        for _, rows_of_one in by_adapter:
            rows = list(rows_of_one)
            if (deltas := self._deltas[plan.generating[rows[0]]]) is not None:
                generated.append(Group(deltas, rows[0], rows[-1] + 1))
        prompts = []
        for piece, span in zip(plan.pieces, spans[n_generating:], strict=True):
            if (deltas := self._deltas[piece.sequence]) is not None:
                prompts.append(Group(deltas, span.first_row, span.first_row + span.n_rows))
        return RowDeltas(generated, prompts, self._stacks) if generated or prompts else None

    def _remember(self, piece: Piece) -> None:
        sequence, index = piece.sequence, piece.start // GRANULE
        if index < len(sequence.block_keys):
            assert sequence.slot is not None  # noqa: S101  # It runs, so it has one.
            first_cell = sequence.slot.first + piece.start
            self.prefix.keep(sequence.block_keys[index], self._cells, first_cell)
        if not sequence.reading:
            self.prefix.used(sequence.block_keys)

    def _block_keys(self, request: Request) -> list[bytes]:
        """None for requests that want to know every row of their prompt, and for adapters that
        nothing tells from what stood in their folder before."""
        if not self.prefix.enabled or not isinstance(request, Generate):
            return []
        if request.prompt_logprobs is not None:
            return []
        if request.adapter is None:
            return prefix.block_keys(request.ids, adapter=None)
        if request.adapter_version is None:
            return []
        adapter = (request.adapter, request.adapter_version)
        return prefix.block_keys(request.ids, adapter=adapter)

    def _choose(self, hidden_MD: Tensor, takers: list[Sequence]) -> Outcome:
        logits_MV = self._decoder.logits(hidden_MD)
        sound = logits_MV.sum(-1).isfinite().tolist()  # One pass; no sum hides what is no number.
        broken, drawing, draws = [], [], []
        for row, (taker, good) in enumerate(zip(takers, sound, strict=True)):
            draw = self._draw(taker)
            if not good:
                broken.append(Broken(taker, FailureCode.INTERNAL, NOT_NUMBERS))
            elif draw.allowed_V is not None and not draw.allowed_V.any():
                broken.append(_stuck(taker))
            else:
                drawing.append(row)
                draws.append(draw)
        if broken:
            logits_MV = logits_MV[torch.tensor(drawing, dtype=torch.long)]
        chosen = sampling.choose(logits_MV, draws) if draws else []
        drawn = [Drawn(takers[row], *one) for row, one in zip(drawing, chosen, strict=True)]
        constraint.take(_moves(drawn))
        return Outcome(drawn, broken)

    def _score(self, piece: Piece, hidden_ND: Tensor, *, n_top: int) -> None:
        targets = piece.sequence.request.ids[piece.start + 1 : piece.end + 1]
        logits_MV = self._decoder.logits(hidden_ND[: len(targets)])
        logprobs_MV = torch.log_softmax(logits_MV, dim=-1).numpy()
        piece.sequence.logprobs += [
            sampling.logprob(logprobs_V, token, n_top)
            for logprobs_V, token in zip(logprobs_MV, targets, strict=True)
        ]

    def _pool(self, piece: Piece, hidden_ND: Tensor, request: Embed) -> None:
        """As `nn.embedding` does: sums in float64, so that it matters little how a text is cut."""
        sequence, n_ids = piece.sequence, len(request.ids)
        heads = self._heads_of(request) if request.pooling is Pooling.HEADS else None
        means = request.pooling is Pooling.MEAN
        if heads is not None:
            means = heads.pooling is HeadPooling.MEAN
        pooled_D = hidden_ND[-1].double()
        if means:
            pooled_D = hidden_ND.double().sum(0) + self._sums.pop(sequence, 0.0)
            self._sums[sequence] = pooled_D
        if piece.end == n_ids and heads is not None:
            pooled_D = pooled_D / n_ids if means else pooled_D
            sequence.vector = tuple(heads.probabilities(pooled_D[None], [request.ids])[0].tolist())
        elif piece.end == n_ids:
            sequence.vector = tuple(F.normalize(pooled_D, dim=0).tolist())

    def _heads_of(self, request: Embed) -> PublishedHeads:
        """Of the request's adapter; a few hundred kilobytes or, with phrases, megabytes, read once.

        Raises:
            InvalidInput: it is no classifier.
        """
        key = adapter_key(request)
        if key is None:
            raise InvalidInput("a base has no heads to classify with", code=FailureCode.INVALID)
        if key not in self._heads:
            try:
                heads = load_heads(Path(key.folder))
            except InvalidInput as error:
                raise InvalidInput(error.message, code=FailureCode.ADAPTER) from error
            while len(self._heads) >= MOST_HEADS:
                del self._heads[next(iter(self._heads))]
            self._heads[key] = heads
        return self._heads[key]

    def _draw(self, sequence: Sequence) -> sampling.Draw:
        request, allowed_V = sequence.request, None
        assert isinstance(request, Generate)  # noqa: S101  # Scores draw nothing.
        if sequence.constraint is not None:
            allowed_V = sequence.constraint.allowed(self.shape.vocab_size, request.stop_ids)
        n_drawn = len(sequence.generated)
        if n_drawn < request.sampling.min_tokens:
            allowed_V = np.ones(self.shape.vocab_size, dtype=np.bool_)
            allowed_V[[token for token in request.stop_ids if token < len(allowed_V)]] = False
        return sampling.Draw(
            request.sampling, sequence.seed, n_drawn, sequence.counts, allowed_V, request.ids
        )

    def _constrain(self, sequence: Sequence) -> bool:
        """Whether the sequence's grammar is there, if it has one."""
        request = sequence.request
        if not isinstance(request, Generate) or request.grammar is None:
            return True
        if sequence.compiling is None:
            sequence.compiling = self._grammars.compile(request.grammar)
        if not sequence.compiling.done():
            return False
        sequence.constraint = sequence.compiling.result()
        return True

    def _adapter(self, key: AdapterKey) -> AdapterDeltas | None:
        try:
            return self.adapters.get(key)
        except InvalidInput as error:
            raise InvalidInput(error.message, code=FailureCode.ADAPTER) from error

    def _check(self, request: Request) -> None:
        known = [("ids", request.ids)]
        if isinstance(request, Generate):
            known.append(("logit_bias", tuple(request.sampling.logit_bias)))
        for name, ids in known:
            if ids and max(ids) >= self.shape.vocab_size:
                raise InvalidInput(
                    f"{name} holds {max(ids)}, this base knows 0 to {self.shape.vocab_size - 1}; "
                    "use this base's tokenizer",
                    code=FailureCode.INVALID,
                )
        room_for = self.context - 1 if isinstance(request, Generate) else self.context
        if len(request.ids) > room_for:
            raise InvalidInput(
                f"the prompt has {len(request.ids)} tokens and this model's context holds "
                f"{self.context}, the answer included; shorten the prompt",
                code=FailureCode.TOO_LONG,
            )


def load_lane(path: Path, *, room: Room, pool: Executor, wake: Callable[[], None]) -> Lane:
    """
    Raises:
        InvalidInput: the base cannot be served; the message says why.
    """
    grammars = Grammars(path, wake=wake)
    precision = precision_of(path, room.linear)
    decoder = load_decoder(path, kind=precision.kind)
    return Lane(decoder, grammars, precision, room=room, pool=pool, wake=wake)


def lane_bytes(path: Path, room: Room) -> int:
    """What the base will take at most: packed weights, the embedding as stored, all its cells, and
    the blocks it keeps."""
    shape = read_shape(path)
    values = sum(_product(size) for size in expected_sizes(shape).values())
    each = WEIGHT_BYTES[precision_of(path, room.linear).kind]
    embedding = shape.vocab_size * shape.hidden_size * (4 + (each if shape.tied else 0))
    cells = n_cells(shape, room) * shape.kv_bytes_per_token
    return each * values + embedding + cells + room.prefix_bytes


def n_cells(shape: DecoderShape, room: Room) -> int:
    """How many may be in use: every sequence at full length, or what the memory holds."""
    affordable = room.cells_bytes // shape.kv_bytes_per_token
    return min(room.max_sequences * (shape.context + ALIGNMENT), affordable)


def adapter_key(request: Request) -> AdapterKey | None:
    if request.adapter is None:
        return None
    return AdapterKey(request.adapter, request.adapter_version)


def _span(first_row: int, sequence: Sequence, start: int, end: int) -> Span:
    assert sequence.slot is not None  # noqa: S101  # It runs, so it has one.
    return Span(first_row, end - start, sequence.slot.first, end)


def _moves(drawn: list[Drawn]) -> Iterator[tuple[Constraint, int]]:
    for sequence, token, _ in drawn:
        request = sequence.request
        assert isinstance(request, Generate)  # noqa: S101  # Scores draw nothing.
        if sequence.constraint is not None and token not in request.stop_ids:
            yield sequence.constraint, token


def _stuck(sequence: Sequence) -> Broken:
    held = sequence.constraint
    assert held is not None  # noqa: S101  # Only a grammar allows no token.
    if held.lost:
        return Broken(sequence, FailureCode.RESTARTING, held.problem)
    told = held.problem or "no token of this base goes on in it"
    text = f"the grammar cannot be followed any further: {told}"
    return Broken(sequence, FailureCode.INVALID, text)


def _product(sizes: Iterable[int]) -> int:
    product = 1
    for size in sizes:
        product *= size
    return product
