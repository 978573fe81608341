"""What every scorer is: a name, an identity, a score for each sample, and figures over all.

A scorer that only looks (`Check`) is a function of item and answer. One that asks a model (a judge)
gets `Models`. Figures are made of stored scores alone, so that they can be made again.

Some scorers have a say before the answer: what they learn from the dataset (`fitted`), how an item
is shown (`arrange`), how it is asked (`shape`), how likely the model finds texts (`wonders`). A
runner begins with `scorers = fitted(scorers, items)`, a rescoring too, and for each attempt calls,
in order,

1. `item = arranged(scorers, item, attempt)`, and renders templates with
   `template.render(item.row, **item.arranged)`;
2. `prompt = shaped(scorers, prompt)`;
3. the model with that prompt, unless `reads_answer` is false for every scorer (`Answer()` then);
4. `answer = replace(answer, told=await told(scorers, item, prompt, model, models))`;
5. `grade` of each scorer with that item and answer, which are what a sample keeps: a rescoring
   starts here;
6. `close` of each scorer, once, when no sample is left.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from modiste.errors import InvalidInput, ModisteError
from modiste.evaluate.aside import Aside
from modiste.evaluate.items import (
    Answer,
    Failure,
    Item,
    Models,
    Prompt,
    Sample,
    Score,
    Status,
    Told,
    unscored,
)
from modiste.evaluate.metric import Metric, mean_metric


class Wonder(NamedTuple):
    """Continuations of a plain text whose likelihoods a scorer asks for."""

    text: str
    continuations: tuple[str, ...]


class Scorer(ABC):
    """One way to grade answers."""

    higher_is_better: bool = True
    scale: tuple[float, float] | None = (0.0, 1.0)
    """Where values lie; None is without bounds."""
    unit: str = "share"
    """Of its values: `share`, `points`, `s`, `tokens`, `micro`."""
    reads_answer: bool = True
    """False: likelihoods suffice, and nothing need be generated for it."""

    def __init__(self, name: str, config: Mapping[str, Any]) -> None:
        """
        Args:
            name: what it is called in the suite.
            config: all that its scores depend on, its kind and version among it; JSON.
        """
        self.name = name
        self.config = dict(config)
        self.aside = Aside()
        """Where it does what takes long."""

    @property
    def identity(self) -> str:
        """Scores of two runs may be compared where this is equal."""
        canonical = json.dumps(self.config, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def fitted(self, items: Sequence[Item]) -> Scorer:
        """The same scorer with what it takes from all items of the dataset, such as their labels.

        Raises:
            InvalidInput: it cannot grade these items, whatever a model says.
        """
        return self

    def arrange(self, item: Item, attempt: int) -> Mapping[str, Any]:
        """More names for the templates, a function of item and attempt alone.

        Raises:
            InvalidInput: the row cannot be shown.
        """
        return {}

    def shape(self, prompt: Prompt) -> Prompt:
        """The request with what this scorer needs of the answer: log-probabilities, a stream."""
        return prompt

    def wonders(self, item: Item, prompt: Prompt) -> Wonder | None:
        """Texts whose likelihoods it needs; they come back in `answer.told[name]`."""
        return None

    async def grade(self, item: Item, answer: Answer, models: Models) -> Score:
        """What it says of one sample; a failure of the model or of its own is a status."""
        if answer.failure is not None and self.reads_answer:
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

    def close(self) -> None:
        """Ends the thread and processes it may have started; it may still be used, and starts them
        again."""
        self.aside.close()


class Check(Scorer):
    """A scorer that looks at the answer and asks nobody."""

    takes_long: bool = False
    """A look may take milliseconds and more; it is done aside."""

    async def score(self, item: Item, answer: Answer, models: Models) -> Score:
        if self.takes_long:
            return await self.aside.do(lambda: self.look(item, answer))
        return self.look(item, answer)

    @abstractmethod
    def look(self, item: Item, answer: Answer) -> Score: ...


def fitted(scorers: Sequence[Scorer], items: Sequence[Item]) -> tuple[Scorer, ...]:
    """The scorers of one run over these items.

    Raises:
        InvalidInput: what each of them has against the dataset, all of it.
    """
    found: list[Scorer] = []
    problems: list[str] = []
    for scorer in scorers:
        try:
            found.append(scorer.fitted(items))
        except InvalidInput as error:
            problems.append(f"scorer {scorer.name!r}: {error.message}")
    if problems:
        raise InvalidInput("; ".join(problems), param="scorers")
    return tuple(found)


def arranged(scorers: Sequence[Scorer], item: Item, attempt: int) -> Item:
    """The item as this attempt shows it.

    Raises:
        InvalidInput: a row that a scorer cannot show, or two scorers that show it differently.
    """
    names: dict[str, Any] = {}
    for scorer in scorers:
        for name, value in scorer.arrange(item, attempt).items():
            if name in names and names[name] != value:
                raise InvalidInput(
                    f"scorer {scorer.name!r} gives templates another {name!r} than a scorer before"
                    " it; put them into suites of their own",
                    param="scorers",
                )
            names[name] = value
    return replace(item, arranged=names) if names else item


def shaped(scorers: Sequence[Scorer], prompt: Prompt) -> Prompt:
    """The request with what every scorer needs of the answer."""
    for scorer in scorers:
        prompt = scorer.shape(prompt)
    return prompt


async def told(
    scorers: Sequence[Scorer], item: Item, prompt: Prompt, model: str, models: Models
) -> dict[str, Told]:
    """Asks the model for the likelihoods that scorers need; one that refuses is a failure there."""
    answers: dict[str, Told] = {}
    for scorer in scorers:
        if (wonder := scorer.wonders(item, prompt)) is None:
            continue
        try:
            found = await models.likelihoods(model, wonder.text, wonder.continuations)
            answers[scorer.name] = Told(tuple(found))
        except ModisteError as error:
            answers[scorer.name] = Told(failure=Failure(error.error_code, error.message))
    return answers
