"""Files and models as both vendors' clients read them: one superset answer, pure functions.

What a client insists on is always there: `bytes`, `sample_type`, `source` and `deleted` of a file,
`type`, `created` and an empty `permission` list of a card, `has_more` of every list (the openai
pager never ends without it). Timestamps are whole seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from modiste.actions.completions import DEFAULT_TEMPERATURE
from modiste.serve import outbound
from modiste.serve.upstream import Told
from modiste.types import Abilities, ClassifierTarget, File, Model, ModelKind, Page, Spent, Upstream

JSONL = "application/jsonl"
BATCH_RESULTS = ("batch_result", "batch_error")
BATCH_OUTPUT = "batch_output"
"""OpenAI's purpose of both."""


class FileObject(BaseModel):
    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    filename: str
    purpose: str
    sample_type: str
    source: str
    num_lines: int | None
    mimetype: str | None
    signature: str
    """First 16 hex digits of the sha256 of the content."""
    expires_at: int | None
    visibility: str
    deleted: bool
    status: Literal["uploaded", "processed", "error"] = "processed"
    """A file is checked before it is acknowledged, so it is always processed."""
    status_details: str | None = None


class FileList(BaseModel):
    object: Literal["list"] = "list"
    data: list[FileObject]
    total: int
    has_more: bool


class FileDeleted(BaseModel):
    id: str
    object: Literal["file"] = "file"
    deleted: Literal[True] = True


class SignedUrl(BaseModel):
    url: str


class Capabilities(BaseModel):
    """What can be asked of a model on this server today."""

    completion_chat: bool = True
    completion_fim: bool = False
    function_calling: bool = False
    fine_tuning: bool
    vision: bool = False
    classification: bool = False
    moderation: bool = False
    ocr: bool = False
    audio: bool = False
    audio_transcription: bool = False
    reasoning: bool = False


class SpentOut(BaseModel):
    """What a model behind another server took today (UTC)."""

    n_requests: int
    prompt_tokens: int
    completion_tokens: int
    cost_micro: int
    n_estimated: int
    """Requests whose usage was never told and is a guess."""


class LoadOut(BaseModel):
    """What a vLLM server last said about itself."""

    running: int
    waiting: int
    cache_used: float
    max_adapters: int | None
    waiting_adapters: list[str]
    """Adapters for which requests wait: raise the server's --max-loras where that is often."""


class UpstreamOut(BaseModel):
    """The server that answers for a model."""

    kind: Literal["openai", "mistral", "vllm"]
    host: str
    model: str | None
    """Its name there."""
    daily_tokens: int | None
    daily_cost_micro: int | None
    state: Literal["closed", "open", "half_open"] | None = None
    """Of its circuit breaker, where one card is asked for; open: it is left alone for a while. Null
    where it was not asked since this server started."""
    last_failure: str | None = None
    today: SpentOut | None = None
    """Of a hosted model, where one card is asked for."""
    load: LoadOut | None = None
    """Of a vLLM server, where one card is asked for."""


class _Card(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    capabilities: Capabilities
    name: str | None
    description: str | None
    max_context_length: int
    aliases: list[str]
    deprecation: str | None = None
    deprecation_replacement_model: str | None = None
    default_model_temperature: float = DEFAULT_TEMPERATURE
    permission: list[str] = []
    parent: str | None
    upstream: UpstreamOut | None = None
    """Absent where the built-in engine answers."""


class BaseModelCard(_Card):
    type: Literal["base"] = "base"
    root: None = None


class ClassifierTargetOut(BaseModel):
    name: str
    labels: list[str]
    weight: float
    loss_function: Literal["single_class", "multi_class"]
    """While it is not known yet: single_class."""


class TunedModelCard(_Card):
    type: Literal["fine-tuned"] = "fine-tuned"
    root: str
    job: str
    """Empty for the classifier that ships."""
    classifier_targets: list[ClassifierTargetOut] | None = None
    """Ours: what a classifier tells. Null where the model writes text."""
    archived: bool
    stale: bool
    """It learned from rows that were forgotten since; `/lineage` of the model says more."""


ModelCard = Annotated[BaseModelCard | TunedModelCard, Field(discriminator="type")]


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[ModelCard]


class ModelDeleted(BaseModel):
    id: str
    object: Literal["model"] = "model"
    deleted: Literal[True] = True


class ModelArchived(BaseModel):
    id: str
    object: Literal["model"] = "model"
    archived: bool


class TunedModelOut(BaseModel):
    """The answer to an update: the fine-tuned model as its owner manages it."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    workspace_id: str
    root: str
    root_version: str
    archived: bool
    name: str | None
    description: str | None
    capabilities: Capabilities
    max_context_length: int
    aliases: list[str]
    job: str
    model_type: Literal["completion", "classifier"] = "completion"
    classifier_targets: list[ClassifierTargetOut] | None = None
    """Absent where the model writes text."""


def seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def seconds_or_none(moment: datetime | None) -> int | None:
    return None if moment is None else seconds(moment)


def file_object(file: File, *, openai: bool = False) -> FileObject:
    """OpenAI tells results of a batch by their purpose, Mistral by their sample_type."""
    made = openai and file.sample_type in BATCH_RESULTS
    return FileObject(
        id=file.id,
        bytes=file.size_bytes,
        created_at=seconds(file.created_at),
        filename=file.filename,
        purpose=BATCH_OUTPUT if made else file.purpose,
        sample_type=file.sample_type,
        source=file.source,
        num_lines=file.n_lines,
        mimetype=file.mimetype,
        signature=file.sha256[:16],
        expires_at=seconds_or_none(file.expires_at),
        visibility=file.visibility,
        deleted=file.deleted,
    )


def file_list(page: Page, *, openai: bool = False) -> FileList:
    data = [file_object(file, openai=openai) for file in page.items]
    return FileList(data=data, total=page.total, has_more=page.has_more)


def model_card(
    model: Model, *, told: Told | None = None, spent: Spent | None = None
) -> BaseModelCard | TunedModelCard:
    """`told` and `spent`: how its upstream does, and what it took today."""
    shared = {
        "id": model.id,
        "created": seconds(model.created_at),
        "owned_by": model.owned_by,
        "name": model.name,
        "description": model.description,
        "max_context_length": model.max_context_length,
        "aliases": list(model.aliases),
        "parent": model.base,
        "capabilities": _capabilities(model),
        "upstream": model.upstream and _upstream_out(model.upstream, told, spent),
    }
    if model.kind is not ModelKind.FINE_TUNED:
        return BaseModelCard.model_validate(shared)
    return TunedModelCard.model_validate(
        {
            **shared,
            "root": model.root,
            "job": model.job_id or "",
            "archived": model.archived,
            "stale": model.stale is not None,
            "classifier_targets": targets_out(model.classifier_targets) or None,
        }
    )


def tuned_model_out(model: Model, *, org: str) -> TunedModelOut:
    return TunedModelOut(
        id=model.id,
        created=seconds(model.created_at),
        owned_by=model.owned_by,
        workspace_id=org,
        root=model.root or "",
        root_version="",
        archived=model.archived,
        name=model.name,
        description=model.description,
        capabilities=_capabilities(model),
        max_context_length=model.max_context_length,
        aliases=list(model.aliases),
        job=model.job_id or "",
        model_type="classifier" if model.classifies else "completion",
        classifier_targets=targets_out(model.classifier_targets) or None,
    )


def targets_out(targets: Sequence[ClassifierTarget]) -> list[ClassifierTargetOut]:
    return [
        ClassifierTargetOut(
            name=target.name,
            labels=list(target.labels),
            weight=target.weight,
            loss_function="single_class" if target.single else "multi_class",
        )
        for target in targets
    ]


def _upstream_out(upstream: Upstream, told: Told | None, spent: Spent | None) -> UpstreamOut:
    load = told and told.metrics
    return UpstreamOut(
        kind=upstream.kind.value,
        host=outbound.host(upstream.url),
        model=upstream.model,
        daily_tokens=upstream.daily_tokens,
        daily_cost_micro=upstream.daily_cost_micro,
        state=told and told.state.value,
        last_failure=told and told.last_failure,
        today=None if spent is None else SpentOut(**asdict(spent)),
        load=None if load is None else LoadOut.model_validate(load._asdict()),
    )


def _capabilities(model: Model) -> Capabilities:
    if model.kind is ModelKind.HOSTED:  # What it can do more, its own vendor says.
        return Capabilities(function_calling=True, fine_tuning=False)
    if model.classifies:
        return Capabilities(completion_chat=False, classification=True, fine_tuning=False)
    if model.makes_embeddings:
        return Capabilities(completion_chat=False, fine_tuning=False)
    if model.parity is not None and not model.parity.served:
        return Capabilities(completion_chat=False, fine_tuning=False)
    able = model.abilities or Abilities()
    return Capabilities(
        completion_chat=able.chats,
        completion_fim=able.fim,
        function_calling=able.chats and able.tools,
        reasoning=able.chats and able.thoughts,
        fine_tuning=model.kind is ModelKind.BASE,
    )
