"""A suite: what good means, as a YAML file. Dataset, prompt, models, scorers, attempts.

Everything that is wrong with a suite is said at once, with the field and the nearest known name.
Paths are relative to the file. Templates see the fields of a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from modiste.evaluate.scorers.registry import ScorerSpec
from modiste.evaluate.template import Template
from modiste.types import Role


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Turn(Part):
    role: Literal["system", "user", "assistant"]
    content: str | None = None
    """A template. An assistant's turn without is the model's own answer, and what follows it is
    said after that answer."""

    @model_validator(mode="after")
    def _said(self) -> Self:
        if self.content is None and self.role != "assistant":
            raise ValueError(f"a turn of the {self.role} needs content")
        return self


def _as_dataset(value: Any) -> Any:
    return {"path": value} if isinstance(value, str) else value


class Place(Part):
    """A file: JSON lines, JSON, CSV, Parquet; gzipped or not."""

    path: str | None = None
    """Relative to the suite."""
    file_id: str | None = None
    """An uploaded file, in place of a path."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.path is None) == (self.file_id is None):
            raise ValueError("give exactly one of path and file_id")
        return self


class Data(Place):
    """Where the items come from, and what their fields mean."""

    limit: int | None = Field(default=None, ge=1)
    """So many items, drawn with `seed`; without, all of them."""
    seed: int = 0
    id: str | None = None
    """Template of an item's key; without, a hash of the row."""
    reference: str | None = None
    """Template of the right answer, or the name of a field in braces alone (`{{answers}}`), which
    keeps lists and numbers as they are."""
    cluster: str | None = None
    """Template: items with the same text are not independent (one document, one user)."""
    slices: Mapping[str, str] = Field(default_factory=dict)
    """Templates: parts of the dataset that are reported apart."""


class Shots(Place):
    """Examples put before each question as turns of their own: rows of another file, which fill the
    same prompt and reference templates."""

    n: int = Field(default=4, ge=1, le=64)
    seed: int = 0


class SamplingSpec(Part):
    temperature: float = Field(default=0.0, ge=0, le=10)
    top_p: float = Field(default=1.0, ge=0, le=1)
    max_tokens: int = Field(default=256, ge=1)
    seed: int = Field(default=0, ge=0)
    """Attempt k of an item is drawn with a seed made of this, the item and k: the same for every
    model."""
    stop: tuple[str, ...] = ()


class Subject(Part):
    """One model under test, with what is said before the question."""

    model: str
    """Its name at the endpoint: a base, a tuned model, an alias, or a hosted one."""
    system: str | None = None
    """Template of a system prompt; it takes the place of the suite's."""
    shots: Shots | None = None
    sampling: Mapping[str, Any] = Field(default_factory=dict)
    """What differs from the suite's."""
    policies: tuple[str, ...] | None = None
    """Names of policies that hold in place of those that are attached; an empty list is none at
    all. Only admins may say so."""

    @model_validator(mode="after")
    def _known(self) -> Self:
        self.sampling_over(SamplingSpec())
        return self

    @property
    def said_before(self) -> tuple[str, ...]:
        """What is said before the question, and by no other subject of the suite."""
        system = () if self.system is None else ("system prompt",)
        shots = () if self.shots is None else (f"{self.shots.n} examples",)
        if self.policies is None:
            return (*system, *shots)
        return (*system, *shots, f"under {', '.join(self.policies) or 'no'} policies")

    def sampling_over(self, suites: SamplingSpec) -> SamplingSpec:
        return SamplingSpec.model_validate({**suites.model_dump(), **self.sampling})


class Attacker(Part):
    """A model that plays the user of the items whose rows say `attacker: true`."""

    model: str
    turns: int = Field(default=4, ge=2, le=20)
    """Answers of the model under test, the last one included."""
    max_tokens: int = Field(default=200, ge=1)
    temperature: float = Field(default=0.7, ge=0, le=10)


class Suite(Part):
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    description: str = ""
    dataset: Annotated[Data, BeforeValidator(_as_dataset)]
    prompt: str | None = None
    """Template of the user's message; or give `messages`."""
    messages: tuple[Turn, ...] = ()
    conversation: str | None = None
    """Or the field of a row that holds its messages, in the shape of a chat request."""
    attacker: Attacker | None = None
    tools: tuple[Mapping[str, Any], ...] = ()
    """Functions that every request offers."""
    response_schema: Mapping[str, Any] | None = None
    """JSON Schema that answers are held to while they are written."""
    models: Mapping[str, Subject] = Field(min_length=1)
    """By the name they have in the report."""
    sampling: SamplingSpec = Field(default_factory=SamplingSpec)
    attempts: int = Field(default=1, ge=1, le=100)
    scorers: tuple[ScorerSpec, ...] = Field(min_length=1)
    primary: str | None = None
    """Metric that decides, `SCORER` or `SCORER.METRIC`; the first scorer's first by default."""

    @property
    def turns(self) -> tuple[tuple[Role, Template], ...]:
        """What is said before the first answer.

        Raises:
            InvalidInput: a text that is no template.
        """
        return self.rounds[0]

    @property
    def rounds(self) -> tuple[tuple[tuple[Role, Template], ...], ...]:
        """What is said before the first answer, and then before each later one.

        Raises:
            InvalidInput: as `turns`.
        """
        if self.prompt is not None:
            return (((Role.USER, Template(self.prompt, param="prompt")),),)
        rounds: list[list[tuple[Role, Template]]] = [[]]
        for at, turn in enumerate(self.messages):
            if turn.content is None:
                rounds.append([])
            else:
                template = Template(turn.content, param=f"messages[{at}].content")
                rounds[-1].append((Role(turn.role), template))
        return tuple(map(tuple, rounds))

    @model_validator(mode="after")
    def _whole(self) -> Suite:
        given = [self.prompt is not None, bool(self.messages), self.conversation is not None]
        if sum(given) != 1:
            raise ValueError("give exactly one of prompt, messages and conversation")
        self._check_own_answers()
        names = [spec.name for spec in self.scorers]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two scorers are called {twice[0]!r}; give one a name of its own")
        if self.primary is not None and self.primary.split(".")[0] not in names:
            raise ValueError(f"primary is {self.primary!r}; the scorers are {', '.join(names)}")
        return self

    def _check_own_answers(self) -> None:
        own = [at for at, turn in enumerate(self.messages) if turn.content is None]
        for at in own:
            around = (self.messages[at - 1 : at], self.messages[at + 1 : at + 2])
            if any(not turn or turn[0].role != "user" for turn in around):
                raise ValueError(
                    f"messages[{at}] is the model's own answer, which stands between two turns of "
                    "the user; the last answer is asked for by itself"
                )
        if own and self.attacker is not None:
            raise ValueError("an attacker leads the conversation; give messages with content alone")
        shown = [name for name, model in self.models.items() if model.shots is not None]
        if own and shown:
            raise ValueError(
                f"models.{shown[0]}.shots: examples have one answer each, and messages lets the "
                "model answer several times"
            )
