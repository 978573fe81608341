"""What every scorer is: a name, an identity, a score for each sample, and figures over all.

A scorer that only looks (`Check`) is a function of item and answer. One that asks a model (a judge)
gets `Models`. Figures are made of stored scores alone, so that they can be made again.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from modiste.errors import InvalidInput
from modiste.evaluate.items import Answer, Item, Models, Sample, Score, Status, unscored
from modiste.evaluate.metric import Metric, mean_metric


class Scorer(ABC):
    """One way to grade answers."""

    higher_is_better: bool = True
    scale: tuple[float, float] | None = (0.0, 1.0)
    """Where values lie; None is without bounds."""
    unit: str = "share"
    """Of its values: `share`, `points`, `s`, `tokens`, `micro`."""

    def __init__(self, name: str, config: Mapping[str, Any]) -> None:
        """
        Args:
            name: what it is called in the suite.
            config: all that its scores depend on, its kind and version among it; JSON.
        """
        self.name = name
        self.config = dict(config)

    @property
    def identity(self) -> str:
        """Scores of two runs may be compared where this is equal."""
        canonical = json.dumps(self.config, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    async def grade(self, item: Item, answer: Answer, models: Models) -> Score:
        """What it says of one sample; a failure of the model or of its own is a status."""
        if answer.failure is not None:
            late = answer.failure.code == "timeout"
            said = f"the model gave no answer: {answer.failure.message}"
            return unscored(Status.TIMEOUT if late else Status.ERROR, said)
        try:
            return await self.score(item, answer, models)
        except InvalidInput as error:
            return unscored(Status.ERROR, error.message)

    @abstractmethod
    async def score(self, item: Item, answer: Answer, models: Models) -> Score: ...

    def metrics(self, samples: Sequence[Sample]) -> tuple[Metric, ...]:
        """Figures over a run, the one that counts first. By default the mean over items of the
        mean over attempts."""
        return (mean_metric(self, samples),)


class Check(Scorer):
    """A scorer that looks at the answer and asks nobody."""

    async def score(self, item: Item, answer: Answer, models: Models) -> Score:
        return self.look(item, answer)

    @abstractmethod
    def look(self, item: Item, answer: Answer) -> Score: ...
