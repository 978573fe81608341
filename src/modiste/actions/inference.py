"""What every inference begins with: the model a name means, its tokenizer, its weights, and room.

All that can be refused is refused here, before the first token: the permission, the name, a model
that the engine cannot compute, a prompt that leaves no room in the context.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from modiste.actions import models, weights
from modiste.actions.keys import require
from modiste.actions.weights import Weights
from modiste.errors import BadRequest, InvalidInput, NotFound
from modiste.nn import servable
from modiste.prepare import render
from modiste.serve.sequence import Generate, Sampling
from modiste.serve.upstream import Engine, Upstreams
from modiste.settings import Settings
from modiste.store.database import Database
from modiste.types import Actor, Model, ModelKind, Scope


@dataclass(frozen=True)
class Serving:
    """What completions need of the process they run in."""

    database: Database
    engine: Engine
    renderers: Renderers
    upstreams: Upstreams = field(default_factory=lambda: Upstreams(Settings()))


class AnsweredElsewhere(BadRequest):
    """The model is a hosted one, which is asked in messages, not in tokens."""

    def __init__(self, model: Model) -> None:
        super().__init__(
            f"{model.id} is answered by another server, which is asked for chat completions alone.",
            code="model_not_served",
            param="model",
        )
        self.model = model


class Renderers:
    """One renderer per base folder, loaded on first use and kept."""

    def __init__(self) -> None:
        self._loaded: dict[Path, render.Renderer] = {}
        self._lock = asyncio.Lock()

    async def get(self, base: Path) -> render.Renderer:
        if base not in self._loaded:
            async with self._lock:
                if base not in self._loaded:
                    self._loaded[base] = await asyncio.to_thread(render.load, base)
        return self._loaded[base]


class Served(NamedTuple):
    model: Model
    renderer: render.Renderer
    owner: str
    """Who asks: the engine shares its time among owners."""


async def known(database: Database, actor: Actor, name: Any) -> Model | None:
    """The model that answers to `name`, wherever it is computed; None where nothing does or the
    key may not infer, which is refused later, behind what is wrong with the request itself.

    Raises:
        BadRequest: it is archived.
    """
    if not isinstance(name, str) or not actor.may(Scope.INFER):
        return None
    try:
        return await asyncio.to_thread(named, database, actor, name)
    except NotFound:
        return None


async def find(
    serving: Serving,
    actor: Actor,
    name: str,
    *,
    model: Model | None = None,
    classifies: bool = False,
) -> Served:
    """The model that answers to `name`, and what writes its prompts.

    Args:
        model: what answers to it, where that was looked up already.
        classifies: a classifier is wanted, and not a model that writes.

    Raises:
        Forbidden: the key may not infer.
        NotFound: no such model; the message says what to type.
        AnsweredElsewhere: it is hosted.
        InvalidInput: it is a classifier where none is wanted, or the other way round.
        BadRequest: the engine cannot compute the model.
    """
    require(actor, Scope.INFER)
    if model is None:
        model = await asyncio.to_thread(named, serving.database, actor, name)
    _refuse_other_kind(model, classifies=classifies)
    _refuse_unserved(model)
    return Served(model, await serving.renderers.get(Path(model.path)), actor.key_id)


async def prompts(
    serving: Serving,
    served: Served,
    many_ids: Sequence[list[int]],
    sampling: Sampling,
    *,
    param: str,
) -> list[Generate]:
    """The requests to the engine, all with one seed. No limit of tokens means as many as there is
    room for; no seed draws one.

    Raises:
        BadRequest: some ids leave no room in the context; `param` names where they came from.
    """
    room = [served.model.max_context_length - len(ids) for ids in many_ids]
    if (at := next((at for at, left in enumerate(room) if left < 1), None)) is not None:
        which = "the prompt" if len(room) == 1 else f"prompt {at}"
        raise BadRequest(
            f"{which} has {len(many_ids[at])} tokens and {served.model.id} reads at most "
            f"{served.model.max_context_length}, answer included; shorten the {param}",
            code="context_length_exceeded",
            param=param,
        )
    found = await weights_of(serving, served)
    most = sampling.max_tokens
    seed = secrets.randbits(62) if sampling.seed is None else sampling.seed
    return [
        Generate(
            id=uuid4().hex,
            base=str(found.base),
            adapter=None if found.adapter is None else str(found.adapter),
            adapter_version=found.version,
            ids=tuple(ids),
            stop_ids=served.renderer.stop_ids,
            owner=served.owner,
            upstream=served.model.upstream,
            sampling=replace(
                sampling, max_tokens=left if most is None else min(most, left), seed=seed
            ),
        )
        for ids, left in zip(many_ids, room, strict=True)
    ]


async def weights_of(serving: Serving, served: Served) -> Weights:
    """Where they lie; an adapter's folder is made at first use."""
    if served.model.adapter is None:
        return Weights(Path(served.model.path))
    return await asyncio.to_thread(_weights, serving.database, served.model)


async def prompt(
    serving: Serving, served: Served, ids: list[int], sampling: Sampling, *, param: str
) -> Generate:
    """As `prompts`, of one."""
    return (await prompts(serving, served, [ids], sampling, param=param))[0]


def check_ids(served: Served, ids: Sequence[int], *, where: str, param: str) -> None:
    """
    Raises:
        InvalidInput: an id is none of the model's tokens.
    """
    size = served.renderer.vocab_size
    strange = next((token for token in ids if not 0 <= token < size), None)
    if strange is not None:
        raise InvalidInput(
            f"{where} holds {strange}; the tokens of {served.model.id} are 0 to {size - 1}",
            param=param,
        )


def named(database: Database, actor: Actor, name: str) -> Model:
    """
    Raises:
        NotFound: no such model. BadRequest: it is archived.
    """
    with database.transaction(write=False) as tx:
        return models.resolve(tx, actor, name)


def _refuse_other_kind(model: Model, *, classifies: bool) -> None:
    if model.classifies and not classifies:
        names = ", ".join(target.name for target in model.classifier_targets)
        raise InvalidInput(
            f"{model.id} is a classifier: it tells {names} of a text and writes none; ask it at "
            "/v1/classifications or /v1/chat/classifications",
            code="model_is_classifier",
            param="model",
        )
    if classifies and not model.classifies:
        raise InvalidInput(
            f"{model.id} is no classifier; job_type classifier makes one of rows with labels, and "
            "a model that writes is asked at /v1/chat/completions",
            code="model_not_classifier",
            param="model",
        )


def _refuse_unserved(model: Model) -> None:
    """Looks at a base's config once, and at its time of change with every request: too little to
    be worth a thread.

    Raises:
        AnsweredElsewhere, BadRequest: as `find`.
    """
    if model.kind is ModelKind.HOSTED:
        raise AnsweredElsewhere(model)
    if model.upstream is not None:
        return
    if model.makes_embeddings:
        raise BadRequest(
            f"{model.id} makes embeddings and no text; ask it at /v1/embeddings",
            code="model_not_served",
            param="model",
        )
    if model.parity is not None and not model.parity.served:
        reason = "its certificate says that the built-in engine cannot compute it"
    else:
        config = Path(model.path) / "config.json"
        changed = config.stat().st_mtime_ns if config.is_file() else 0
        reason = _why_not_served(model.path, changed) or ""
    if reason:
        raise BadRequest(
            f"{model.id} is not served here: {reason}. "
            f"`modiste models export {model.id} --form merged -o DIR` makes a folder for another "
            "server; with vLLM on it, `modiste models add NAME --path DIR --served-by vllm:URL` "
            "answers through this one.",
            code="model_not_served",
            param="model",
        )


@lru_cache(maxsize=64)
def _why_not_served(path: str, changed: int) -> str | None:
    """`changed` makes a base that was replaced count anew."""
    return servable.why_not(Path(path))


def _weights(database: Database, model: Model) -> Weights:
    cache = database.settings.cache_dir
    return weights.folders(database.blobs, cache, base=Path(model.path), made=model.adapter)
