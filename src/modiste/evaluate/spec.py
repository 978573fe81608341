"""How a suite names a scorer: a kind, a name, options; everything that is wrong is said at once."""

from __future__ import annotations

from abc import abstractmethod

from pydantic import BaseModel, ConfigDict, Field

from modiste.evaluate.scorer import Scorer


class Spec(BaseModel):
    """One entry of `scorers:`. Each kind adds `kind: Literal[...]` and the default of `name`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")
    """What it is called in reports, and the first part of its metrics' names."""

    @property
    def models(self) -> tuple[str, ...]:
        """Those it asks besides the one under test: judges, embedders."""
        return ()

    @abstractmethod
    def build(self) -> Scorer: ...
