"""What a policy says of its detectors: which there are, what each scores, what its failure means.

A detector reads texts and gives each a score from 0 to 1 per category. Rules also say where. Names
of a detector's own become codes of the policy by `categories`; what is not named there keeps its
name.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal, Protocol, Self

import regex
from pydantic import BaseModel, ConfigDict, Field, model_validator

from modiste.errors import NotFound
from modiste.moderate.taxonomy import taxonomy


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class OnError(StrEnum):
    """What a failure of a detector means, and a category that nobody knows."""

    CLOSED = "closed"
    """As if every category it scores were violated."""
    OPEN = "open"
    """The text goes on; the failure is told with the decision."""


class Has(Protocol):
    """As much of a policy as its detectors look at."""

    @property
    def categories(self) -> tuple[Any, ...]: ...


class _Detector(Part):
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    on_error: OnError = OnError.CLOSED

    says_where: ClassVar[bool] = False

    def scores(self) -> Mapping[str, str]:
        """Its own names to codes of the policy, as far as they are said."""
        return {}

    def codes(self, policy: Has) -> frozenset[str]:
        """Categories of the policy that it gives scores for."""
        return frozenset(self.scores().values())


class _Rule(_Detector):
    """Rules run in this process and need nothing."""

    category: str
    """What a find counts as."""
    says_where: ClassVar[bool] = True

    def scores(self) -> Mapping[str, str]:
        return {self.category: self.category}


class Words(_Rule):
    """Words and patterns of one's own."""

    kind: Literal["words"]
    words: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Whole words or phrases, in any case; letters that look alike and signs without width do not
    hide them."""
    patterns: tuple[str, ...] = ()
    """Regular expressions."""
    except_: tuple[str, ...] = Field(default=(), alias="except")
    """Words within which nothing counts, such as `Scunthorpe`."""

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.words and not self.patterns:
            raise ValueError("give words or patterns")
        for pattern in self.patterns:
            try:
                regex.compile(pattern)
            except regex.error as error:
                raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
        return self


class Personal(_Rule):
    """Personal data, validated: numbers that only look alike do not count."""

    kind: Literal["personal"]
    finds: tuple[Literal["email", "phone", "card", "iban", "national_id"], ...] = (
        "email", "phone", "card", "iban", "national_id",
    )  # fmt: skip


class Secrets(_Rule):
    """Keys of known services, tokens, private keys, passwords behind their name."""

    kind: Literal["secrets"]


class Injection(_Rule):
    """Words that try to take a model over: instructions to forget, other roles, its own marks."""

    kind: Literal["injection"]


class Smuggling(_Rule):
    """Text that people do not see: tag characters, signs without width, turned directions."""

    kind: Literal["smuggling"]


class Length(_Rule):
    kind: Literal["length"]
    max_characters: int = Field(ge=1)


class Endpoint(_Detector):
    """Any server that answers `/v1/moderations`."""

    kind: Literal["endpoint"]
    url: str
    """Such as https://api.mistral.ai/v1."""
    model: str
    key_env: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")
    """Variable of the server's environment that holds the key."""
    speaks: str | None = None
    """The taxonomy of its answers; codes of it that the policy leaves out are then known."""
    categories: Mapping[str, str] = Field(default_factory=dict)
    timeout_s: float = Field(default=5.0, gt=0, le=60)

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.speaks is None and not self.categories:
            raise ValueError("give speaks (a taxonomy), categories (their names to yours), or both")
        if self.speaks is not None:
            _taxonomy_named(self.speaks)
        return self

    def scores(self) -> Mapping[str, str]:
        return self.categories

    def codes(self, policy: Has) -> frozenset[str]:
        spoken = taxonomy(self.speaks).categories if self.speaks else {}
        own = {each.code for each in policy.categories}
        plain = (own & set(spoken)) - set(self.categories)
        full = {f"{self.speaks}:{name}" for name in spoken} & own
        return frozenset({*self.categories.values(), *plain, *full})


class Style(StrEnum):
    """How a guard model is asked."""

    YES_NO = "yes_no"
    """One question per category, its answer yes or no: any chat model, any category."""
    LLAMA_GUARD = "llama_guard"
    """All categories at once, answered with safe, or unsafe and codes: a prompt of ours."""
    LLAMA_GUARD_TEMPLATE = "llama_guard_template"
    """The same of a model whose chat template writes the prompt: it is sent the turns alone."""
    SAFEGUARD = "safeguard"
    """The policy as a system message, answered in JSON: gpt-oss-safeguard and its like."""


class Guard(_Detector):
    """A chat model of this server that is asked about texts."""

    kind: Literal["guard"]
    model: str
    style: Style = Style.YES_NO
    version: Literal["1", "2", "3", "3-1b", "4"] = "3"
    """Of Llama Guard: whose codes it writes."""
    categories: tuple[str, ...] = Field(min_length=1)
    """Codes of the policy that it is asked about."""
    strict: bool = False
    """Borderline cases count too."""
    max_tokens: int = Field(default=512, ge=1, le=8192)
    """Of an answer in `safeguard` style, thoughts included."""
    timeout_s: float = Field(default=30.0, gt=0, le=600)

    def scores(self) -> Mapping[str, str]:
        return {code: code for code in self.categories}


class Classifier(_Detector):
    """A classifier of this server."""

    kind: Literal["classifier"]
    model: str
    target: str | None = None
    """Which of its targets; its only one by default."""
    categories: Mapping[str, str] = Field(min_length=1)
    """Labels to codes of the policy."""
    ignore: tuple[str, ...] = ()
    """Labels that violate nothing, such as `safe`."""
    timeout_s: float = Field(default=5.0, gt=0, le=60)

    def scores(self) -> Mapping[str, str]:
        return self.categories


Rule = Words | Personal | Secrets | Injection | Smuggling | Length
Detector = Rule | Endpoint | Guard | Classifier
DetectorSpec = Annotated[Detector, Field(discriminator="kind")]


def resolved(detector: Detector, name: str, policy: Has) -> str | None:
    """The policy's code for what a detector calls `name`; None where nobody knows the name.

    Codes of the detector's taxonomy that the policy leaves out come back as they are: known, and
    nobody's concern.
    """
    said = detector.scores()
    if name in said:
        return said[name]
    if isinstance(detector, Classifier) and name in detector.ignore:
        return name
    if isinstance(detector, Endpoint) and detector.speaks:
        full = f"{detector.speaks}:{name}"
        if full in {each.code for each in policy.categories}:
            return full
        if name in taxonomy(detector.speaks).categories:
            return name
    return None


def _taxonomy_named(name: str) -> None:
    try:
        taxonomy(name)
    except NotFound as error:
        raise ValueError(error.message) from None
