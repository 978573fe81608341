"""How a suite names a scorer: a kind, a name, options; everything that is wrong is said at once."""

from __future__ import annotations

import re
from abc import abstractmethod
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, field_validator

from modiste.evaluate.scorer import Scorer

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class Spec(BaseModel):
    """One entry of `scorers:`. Each kind adds `kind: Literal[...]` and the default of `name`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    version: ClassVar[int] = 1
    """Raised when the same options come to give other scores."""

    name: str
    """What it is called in reports, and the first part of its metrics' names."""

    @field_validator("name")
    @classmethod
    def _one_word(cls, name: str) -> str:
        """Checked here and not in the field, which every kind gives its own default."""
        if not NAME.fullmatch(name):
            raise ValueError("a name is up to 64 letters, digits, _ and -, without dots")
        return name

    @property
    def models(self) -> tuple[str, ...]:
        """Those it asks besides the one under test: judges, embedders."""
        return ()

    @property
    def graders(self) -> tuple[str, ...]:
        """Those of them that judge."""
        return ()

    @property
    def runs_code(self) -> bool:
        """It runs code that came with the suite, if only in a child without network and files."""
        return False

    @abstractmethod
    def build(self) -> Scorer: ...

    @property
    def config(self) -> dict[str, Any]:
        """All that its scores depend on; its name is not among it."""
        return {**self.model_dump(mode="json", exclude={"name"}), "version": self.version}
