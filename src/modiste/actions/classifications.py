"""Classifications: which labels texts and chats hold, and how probable each is.

Nothing of an input is cut: one that is too long is refused by its index. Inputs are read as they
were in training (`prepare.classified`), the engine pools their states and applies the heads, and
what comes back are calibrated probabilities.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from modiste.actions import inference, shipped_classifier
from modiste.actions.inference import Served, Serving
from modiste.actions.keys import require
from modiste.actions.weights import Weights
from modiste.errors import InvalidInput, ModisteError, StorageFull
from modiste.prepare import classified
from modiste.serve.sequence import Embed, Pooling
from modiste.types import Actor, ClassifierTarget, Message, Scope

AT_ONCE = 64
"""Inputs of one request in the engine at the same time."""
MAX_INPUTS = 10_000
SHOWN = 5

Input = str | tuple[Message, ...]


@dataclass(frozen=True)
class ClassifyAsk:
    model: str
    inputs: tuple[Input, ...]


class Classified(NamedTuple):
    targets: tuple[ClassifierTarget, ...]
    probabilities: list[tuple[float, ...]]
    """Of each input: of all labels, those of the first target first."""
    n_tokens: int

    def by_name(self) -> list[dict[str, dict[str, float]]]:
        """Of each input: target to label to probability."""
        found = []
        for row in self.probabilities:
            told, at = {}, 0
            for target in self.targets:
                told[target.name] = dict(zip(target.labels, row[at:], strict=False))
                at += len(target.labels)
            found.append(told)
        return found


async def create(serving: Serving, actor: Actor, ask: ClassifyAsk) -> Classified:
    """
    Raises:
        Forbidden, NotFound, BadRequest: as `inference.find`.
        InvalidInput: the model is no classifier, no input or too many, one that is too long or no
            chat of the base's format.
        ModisteError: the engine refuses or fails; then nothing is told.
    """
    if not 0 < len(ask.inputs) <= MAX_INPUTS:
        raise InvalidInput(
            f"input has {len(ask.inputs)} entries, expected 1 to {MAX_INPUTS}", param="input"
        )
    served, found = await _reader(serving, actor, ask.model)
    ids = await asyncio.to_thread(_ids, served, ask.inputs)
    places = asyncio.Semaphore(AT_ONCE)

    async def one(text: list[int]) -> tuple[float, ...]:
        request = Embed(
            uuid4().hex,
            str(found.base),
            tuple(text),
            adapter=None if found.adapter is None else str(found.adapter),
            adapter_version=found.version,
            owner=actor.key_id,
            pooling=Pooling.HEADS,
        )
        async with places:
            return await serving.engine.embed(request)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(text)) for text in ids]
    except ExceptionGroup as failures:  # The first ends the others; its caller is told that one.
        raise failures.exceptions[0] from None
    said = [task.result() for task in tasks]
    return Classified(served.model.classifier_targets, said, sum(map(len, ids)))


async def _reader(serving: Serving, actor: Actor, name: str) -> tuple[Served, Weights]:
    """Raises: as `create`."""
    if name != shipped_classifier.NAME:
        served = await inference.find(serving, actor, name, classifies=True)
        return served, await inference.weights_of(serving, served)
    require(actor, Scope.INFER)
    model = shipped_classifier.model()
    renderer = await serving.renderers.get(Path(model.path))
    cache_dir = serving.database.settings.cache_dir
    try:
        weights = await asyncio.to_thread(shipped_classifier.weights, cache_dir)
    except OSError as error:
        raise StorageFull(f"{cache_dir} cannot be written: {error.strerror}") from None
    return Served(model, renderer, actor.key_id), weights


def _ids(served: Served, inputs: Sequence[Input]) -> list[list[int]]:
    """Token ids of every input, all problems told at once."""
    found, problems = [], []
    most = served.model.max_context_length
    for at, given in enumerate(inputs):
        try:
            if isinstance(given, str):
                ids = classified.text_ids(given, served.renderer)
            else:
                ids = classified.chat_ids(given, served.renderer)
        except ModisteError as error:
            problems.append(f"input[{at}]: {error.message}")
            continue
        if len(ids) > most:
            problems.append(
                f"input[{at}] has {len(ids)} tokens, and {served.model.id} reads at most {most}; "
                "shorten it"
            )
        found.append(ids)
    if problems:
        more = f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise InvalidInput("; ".join(problems[:SHOWN]) + more, param="input")
    return found
