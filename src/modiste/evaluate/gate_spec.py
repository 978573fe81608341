"""What a model has to show before it is deployed, as `gate.yaml` says it, written before looking.

Metrics are named `SCORER` or `SCORER.METRIC` as in reports; what answers take has the names
`latency`, `ttft`, `tokens` and `cost` with `.mean`, `.p50`, `.p90`, `.p95` or `.p99`. Thresholds
are in the metric's own unit: a share of 0.02 is two percentage points, latency is in seconds, cost
in micro-units a request.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

from modiste.prepare.checked import checked_yaml


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class OfSuite(Part):
    suite: str | None = None
    """Name of the suite whose run it is about; without, that of the first run given."""


class Win(OfSuite):
    """The candidate is better than the baseline."""

    metric: str | None = None
    """By default the suite's primary metric."""
    min_effect: float = Field(default=0.0, ge=0)
    """The whole interval of the difference lies above this."""
    delta: float | None = Field(default=None, gt=0)
    """The smallest difference that matters: models shown to be closer than this have no winner."""


class Guard(OfSuite):
    """The candidate loses less than `delta` against the baseline."""

    metric: str
    delta: float = Field(gt=0)


class Floor(OfSuite):
    """The whole interval of the candidate's own figure lies at or above this."""

    metric: str
    at_least: float


class Ceiling(OfSuite):
    """The whole interval of the candidate's own figure lies at or below this."""

    metric: str
    at_most: float


class Approvers(Part):
    """People of whom some must agree."""

    names: tuple[str, ...] = Field(min_length=1)
    needed: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _enough(self) -> Approvers:
        if self.needed > len(set(self.names)):
            raise ValueError(f"needed is {self.needed}, and {len(set(self.names))} are named")
        return self


class Gate(Part):
    """All of it must hold."""

    name: str = "gate"
    primary: Win | None = None
    guards: tuple[Guard, ...] = ()
    floors: tuple[Floor, ...] = ()
    ceilings: tuple[Ceiling, ...] = ()
    parity: bool = True
    """The model's certificate says that it answers as it was trained."""
    min_items: int = Field(default=50, ge=1)
    """Items behind every figure."""
    max_unscored: float = Field(default=0.02, ge=0, le=1)
    """Share of attempts without a score, of either side, behind every figure."""
    approvers: Approvers | None = None
    allow_imported: bool = False
    """Runs whose answers were made elsewhere and imported count as well."""

    @model_validator(mode="after")
    def _asks_something(self) -> Gate:
        if not (self.primary or self.guards or self.floors):
            raise ValueError("it asks for nothing: give primary, guards or floors")
        return self

    @property
    def compares(self) -> bool:
        """Whether a run of the baseline is needed."""
        return bool(self.primary or self.guards)


def read(text: str, *, file: str) -> Gate:
    """
    Raises:
        InvalidInput: everything that is wrong with it.
    """
    return checked_yaml(Gate, text, file=file)
