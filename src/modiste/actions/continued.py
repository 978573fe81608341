"""Where a job goes on from: the base it builds on, and the adapter it starts with, if any.

`model` may name a base or a fine-tuned model; `continue_from` a fine-tuned model, or, for admins, a
folder of the server with an adapter in PEFT's layout or Mistral's. What is asked for against the
adapter is refused here, before anything is read or trained. The adapter of a model becomes part of
the job: deleting the model later does not pull it from under the job.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from modiste.actions import models
from modiste.errors import InvalidInput, NotFound
from modiste.store.blobs import Blobs, adapter_of
from modiste.store.database import Tx
from modiste.tune import continuing
from modiste.tune.continuing import MISTRAL_WEIGHTS, PEFT_CONFIG, Adapter
from modiste.tune.spec import Lora
from modiste.types import Actor, Hyperparameters, Model, ModelKind, Scope

PREFIX = "continue_from/"
"""Of the names under which a job keeps the adapter's files beside its data."""
DEFAULT_RANK = Hyperparameters().lora_rank


class Start(NamedTuple):
    name: str
    """A fine-tuned model, or a folder of the server."""
    blobs: Mapping[str, str]
    """For the job's row; empty for a folder."""
    adapter: Adapter

    @property
    def rank(self) -> int | None:
        return self.adapter.rank


class Resolved(NamedTuple):
    base: Model
    start: Start | None


def resolved(tx: Tx, actor: Actor, model: str, continue_from: str | None) -> Resolved:
    """What `model` and `continue_from` name.

    Raises:
        InvalidInput: not there, not possible, or they contradict each other.
    """
    try:
        named = models.get(tx, actor, model)
    except NotFound:
        return Resolved(models.base_for_tuning(tx, actor, model), None)
    if named.kind is not ModelKind.FINE_TUNED:
        base = models.base_for_tuning(tx, actor, model)
    else:
        base = models.base_for_tuning(tx, actor, named.base or "")
        if continue_from not in (None, named.id, model):
            raise _wrong(f"model is {named.id}, continue_from {continue_from}: give one of them.")
        continue_from = named.id
    if continue_from is None:
        return Resolved(base, None)
    return Resolved(base, _start(tx, actor, base, continue_from))


def with_start(asked: Hyperparameters, start: Start | None) -> Hyperparameters:
    """What is asked for, with what the adapter decides."""
    if start is None:
        return asked
    rank = start.rank if asked.lora_rank == DEFAULT_RANK and start.rank else asked.lora_rank
    return replace(asked, continue_from=start.name, lora_rank=rank)


def contradiction(asked: Hyperparameters, start: Start) -> str | None:
    """What is asked for against the adapter; None if nothing."""
    if asked.method == "full":
        return (
            f"continue_from: {start.name} is an adapter and method full has none; set model to the "
            "model to go on from, or method to lora."
        )
    lora = Lora.model_construct(
        rank=asked.lora_rank,
        alpha=asked.lora_alpha,
        targets=asked.lora_targets or "all-linear",
        rslora=asked.lora_rslora,
        dora=asked.lora_dora,
    )
    wrong = continuing.contradiction(lora, start.adapter, start.name)
    return wrong and f"{wrong}."


def folder(blobs: Blobs, kept: Mapping[str, str], continue_from: str, cache_dir: Path) -> Path:
    """Where a worker finds the adapter: made of the job's blobs, or the folder that was named."""
    files = {name.removeprefix(PREFIX): h for name, h in kept.items() if name.startswith(PREFIX)}
    if not files:
        return Path(continue_from)
    return blobs.materialise(adapter_of(files), cache_dir / "adapters")


def _start(tx: Tx, actor: Actor, base: Model, name: str) -> Start:
    if Path(name).is_absolute():
        return _from_folder(actor, Path(name))
    try:
        model = models.resolve(tx, actor, name)
    except NotFound as error:
        raise _wrong(f"continue_from: {error.message}") from None
    if model.kind is ModelKind.BASE:
        raise _wrong(f"continue_from: {name} is a base model; name it in model alone.")
    if model.base != base.id:
        raise _wrong(f"continue_from: {name} was made from {model.base}, not from {base.id}.")
    if model.classifies:
        raise _wrong(
            f"continue_from: {name} is a classifier, whose heads go with its adapter; begin at "
            f"{base.id}."
        )
    files = {} if model.adapter is None else dict(model.adapter.files)
    if PEFT_CONFIG not in files:
        raise _wrong(
            f"continue_from: {name} is a whole model without an adapter; `modiste models export "
            f"{name} --form merged -o DIR` and `modiste models add NAME --path DIR` make it a base."
        )
    adapter = _peft(b"".join(tx.blobs.open(files[PEFT_CONFIG])), model.id)
    return Start(model.id, {f"{PREFIX}{name}": sha256 for name, sha256 in files.items()}, adapter)


def _from_folder(actor: Actor, path: Path) -> Start:
    if not actor.may(Scope.ADMIN):
        raise _wrong("continue_from: folders of the server are for admins; name a ft: model.")
    try:
        if (path / MISTRAL_WEIGHTS).is_file():
            return Start(str(path), {}, continuing.from_mistral(path))
        return Start(str(path), {}, _peft((path / PEFT_CONFIG).read_bytes(), str(path)))
    except InvalidInput as error:
        raise _wrong(f"continue_from: {error.message}") from None
    except OSError:
        raise _wrong(
            f"continue_from: {path} holds no {PEFT_CONFIG} and no {MISTRAL_WEIGHTS} on the server; "
            "give the folder of an adapter in PEFT's layout or Mistral's, or a ft: model."
        ) from None


def _peft(config: bytes, where: str) -> Adapter:
    try:
        return continuing.from_peft(dict(json.loads(config)))
    except (ValueError, TypeError, InvalidInput) as error:
        raise _wrong(f"continue_from: {where}: {PEFT_CONFIG} cannot be read: {error}.") from None


def _wrong(text: str) -> InvalidInput:
    return InvalidInput(text, param="model", code="continue_from")
