"""What every judge is told: whom to ask; what of a row is the question, reference and context."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, field_validator

from modiste.errors import InvalidInput
from modiste.evaluate.items import Exchange, Item, Prompt
from modiste.evaluate.template import Template, value_of
from modiste.types import Message


class Material(NamedTuple):
    """What a judge sees beside the answers."""

    request: str
    reference: str | None
    context: str | None
    references: tuple[str, ...] = ()
    """The reference once more, one for each answer of a conversation where the row has a list."""

    def shown(self) -> dict[str, str | None]:
        """By its name in the prompts."""
        return {"request": self.request, "reference": self.reference, "context": self.context}


class JudgeFields(BaseModel):
    """What all judges have in common; templates see the fields of a row."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    model: str = Field(min_length=1)
    """The judge's name at the endpoint."""
    request: str = "{{question}}"
    """Template: what the answers answer."""
    reference: str | None = None
    """Template: an answer known to be right, shown to the judge; without, none is."""
    context: str | None = None
    """Template: material that the answers had to rest on."""
    temperature: float = Field(default=0.0, ge=0, le=2)
    max_tokens: int = Field(default=1024, ge=16)
    seed: int = Field(default=0, ge=0)
    reuse: bool = Field(default=True, exclude=True)
    """Take what this judge replied to the same prompt in an earlier run. Not part of who it is."""

    @field_validator("request", "reference", "context")
    @classmethod
    def _a_template(cls, value: str | None, info: Any) -> str | None:
        if value is not None:
            try:
                Template(value, param=info.field_name)
            except InvalidInput as error:
                raise ValueError(error.message) from None
        return value

    @property
    def models(self) -> tuple[str, ...]:
        """Those it asks."""
        return (self.model,) if self.model else ()

    @property
    def graders(self) -> tuple[str, ...]:
        """Those that judge."""
        return (self.model,) if self.model else ()

    def material(self, item: Item) -> Material:
        """
        Raises:
            InvalidInput: the row lacks a field that a template names.
        """
        return Material(
            as_text(value_of(self.request, item.row, param="request")),
            self._optional(self.reference, item, "reference"),
            self._optional(self.context, item, "context"),
            self._references(item),
        )

    def _references(self, item: Item) -> tuple[str, ...]:
        if self.reference is None:
            return ()
        found = value_of(self.reference, item.row, param="reference")
        return tuple(map(as_text, found if isinstance(found, list) else [found]))

    def _optional(self, source: str | None, item: Item, param: str) -> str | None:
        if source is None:
            return None
        return as_text(value_of(source, item.row, param=param)) or None

    def prompt(
        self,
        messages: tuple[Message, ...],
        *,
        schema: Mapping[str, Any] | None = None,
        nth: int = 0,
        top_logprobs: int | None = None,
    ) -> Prompt:
        """One request to the judge; `nth` of several alike gets a seed of its own."""
        return Prompt(
            messages,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            seed=self.seed + nth,
            schema=schema,
            top_logprobs=top_logprobs,
            reuse=self.reuse,
        )


def as_text(value: Any) -> str:
    """A field of a row as a judge reads it: lists line by line."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return "\n".join(value)
    return json.dumps(value, ensure_ascii=False)


def conversation(earlier: Sequence[Exchange]) -> str | None:
    """What was said before the answer that is judged, as a judge reads it; None where nothing."""
    turns = (f"User:\n{asked}\n\nAssistant:\n{answered}" for asked, answered in earlier)
    return "\n\n".join(turns) or None


def identity_of(config: Mapping[str, Any]) -> str:
    """Equal where two judges are the same: model, prompts, criteria, order, sampling."""
    canonical = json.dumps(config, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
