"""Embeddings: texts as vectors, from a sentence-embedding model or from the states of a base.

Nothing of a text is cut: one that is too long is refused by its index. Tokens are those of the
model's own tokenizer, without a token that begins texts where a base is asked (as `nn.embedding`
does), with those around a text where an encoder is. All vectors have length 1, unless an encoder's
folder says otherwise.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from modiste.actions import inference, models
from modiste.actions.inference import Serving
from modiste.actions.keys import require
from modiste.errors import BadRequest, InvalidInput
from modiste.nn import encoder_files
from modiste.nn.shape import read_shape
from modiste.prepare import sentence_tokens
from modiste.serve.sequence import Embed, Pooling
from modiste.store.database import Database
from modiste.types import Actor, Model, Scope

AT_ONCE = 64
"""Texts of one request in the engine at the same time."""
MAX_INPUTS = 10_000

Input = str | tuple[int, ...]


@dataclass(frozen=True)
class EmbedAsk:
    model: str
    inputs: tuple[Input, ...]
    dimensions: int | None = None
    """The first so many of each vector, brought to length 1 again."""
    pooling: Pooling = Pooling.MEAN


class Embeddings(NamedTuple):
    vectors: NDArray[np.float32]
    """One row per input."""
    n_tokens: int


class Embedder(NamedTuple):
    """What makes vectors: where its weights lie and how it reads texts."""

    base: str
    adapter: str | None
    version: str | None
    encode: Callable[[str], list[int]]
    n_tokens_known: int
    max_tokens: int
    size: int


async def create(serving: Serving, actor: Actor, ask: EmbedAsk) -> Embeddings:
    """
    Raises:
        Forbidden, NotFound, BadRequest: as `inference.find`.
        InvalidInput: no input or too many, an input that is empty, too long or unknown tokens, more
            dimensions than the model has.
        ModisteError: the engine refuses or fails; then no vector is told.
    """
    if not 0 < len(ask.inputs) <= MAX_INPUTS:
        raise InvalidInput(
            f"input has {len(ask.inputs)} texts, expected 1 to {MAX_INPUTS}", param="input"
        )
    require(actor, Scope.INFER)
    embedder = await _embedder(serving, actor, ask.model)
    if ask.dimensions is not None and not 0 < ask.dimensions <= embedder.size:
        raise InvalidInput(
            f"dimensions is {ask.dimensions}; the vectors of {ask.model} have {embedder.size}",
            param="dimensions",
        )
    ids = await asyncio.to_thread(_ids, embedder, ask)
    places = asyncio.Semaphore(AT_ONCE)

    async def one(text: list[int]) -> tuple[float, ...]:
        async with places:
            return await serving.engine.embed(_request(actor, embedder, text, ask.pooling))

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(text)) for text in ids]
    except ExceptionGroup as failures:  # The first ends the others; its caller is told that one.
        raise failures.exceptions[0] from None
    vectors = np.array([task.result() for task in tasks], dtype=np.float32)
    return Embeddings(_shortened(vectors, ask.dimensions), sum(map(len, ids)))


async def _embedder(serving: Serving, actor: Actor, name: str) -> Embedder:
    model = await asyncio.to_thread(_named, serving.database, actor, name)
    folder = Path(model.path)
    if model.makes_embeddings:
        info = encoder_files.read(folder)
        tokens = await asyncio.to_thread(sentence_tokens.load, folder)
        return Embedder(
            base=model.path,
            adapter=None,
            version=None,
            encode=tokens.encode,
            n_tokens_known=tokens.vocab_size,
            max_tokens=info.max_tokens,
            size=info.hidden_size,
        )
    served = await inference.find(serving, actor, name)
    if served.model.upstream is not None:
        raise BadRequest(
            f"{served.model.id} is answered by a vLLM server, which makes text and no embeddings.",
            code="model_not_served",
            param="model",
        )
    found = await inference.weights_of(serving, served)
    return Embedder(
        base=str(found.base),
        adapter=None if found.adapter is None else str(found.adapter),
        version=found.version,
        encode=served.renderer.encode,
        n_tokens_known=served.renderer.vocab_size,
        max_tokens=served.model.max_context_length,
        size=read_shape(found.base).hidden_size,
    )


def _named(database: Database, actor: Actor, name: str) -> Model:
    with database.transaction(write=False) as tx:
        return models.resolve(tx, actor, name)


def _ids(embedder: Embedder, ask: EmbedAsk) -> list[list[int]]:
    """Token ids of every input, all problems told at once."""
    found, problems = [], []
    for at, given in enumerate(ask.inputs):
        ids = embedder.encode(given) if isinstance(given, str) else list(given)
        if not ids or given == "":
            problems.append(f"input[{at}] is empty")
        elif len(ids) > embedder.max_tokens:
            problems.append(
                f"input[{at}] has {len(ids)} tokens, and {ask.model} reads at most "
                f"{embedder.max_tokens}; split it"
            )
        elif not 0 <= min(ids) <= max(ids) < embedder.n_tokens_known:
            problems.append(
                f"input[{at}] holds a token that {ask.model} does not have: its tokens are 0 to "
                f"{embedder.n_tokens_known - 1}"
            )
        found.append(ids)
    if problems:
        more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise InvalidInput("; ".join(problems[:5]) + more, param="input")
    return found


def _request(actor: Actor, embedder: Embedder, ids: list[int], pooling: Pooling) -> Embed:
    return Embed(
        uuid4().hex,
        embedder.base,
        tuple(ids),
        adapter=embedder.adapter,
        adapter_version=embedder.version,
        owner=actor.key_id,
        pooling=pooling,
    )


def _shortened(vectors: NDArray[np.float32], dimensions: int | None) -> NDArray[np.float32]:
    if dimensions is None:
        return vectors
    short = vectors[:, :dimensions].astype(np.float64)
    lengths = np.linalg.norm(short, axis=1, keepdims=True)
    unit: NDArray[np.float64] = short / np.maximum(lengths, 1e-12)
    return unit.astype(np.float32)
