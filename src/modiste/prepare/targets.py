"""What a classifier tells of a row: its targets, given or read from the rows themselves.

A target is single-class where every row holds exactly one of its labels, and multi-class where a
row may hold several or none. Every row must say something about every target: a row that lacks one
could mean that nothing holds or that nobody looked.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from modiste.types import ClassifierTarget, Example, LossFunction

MAX_TARGETS, MAX_LABELS = 100, 5_000
SHOWN = 8


class Unfit(NamedTuple):
    """Why a row does not fit the targets."""

    path: str
    code: str
    message: str
    hint: str


@dataclass
class Counts:
    """Which labels rows have, to make targets of and to say how unevenly they occur."""

    n_rows: int = 0
    labels: dict[str, Counter[str]] = field(default_factory=dict)
    """Name of the target to its labels' numbers of rows."""
    several: set[str] = field(default_factory=set)
    """Targets of which a row holds no label or more than one."""

    def add(self, example: Example) -> None:
        self.n_rows += 1
        for name, held in example.labels.items():
            self.labels.setdefault(name, Counter()).update(set(held))
            if len(set(held)) != 1:
                self.several.add(name)

    def targets(self) -> tuple[ClassifierTarget, ...]:
        """Names and labels in alphabetical order, so that the order of rows decides nothing."""
        return tuple(
            ClassifierTarget(name, tuple(sorted(counted)), self.kind(name))
            for name, counted in sorted(self.labels.items())
        )

    def kind(self, name: str) -> LossFunction:
        return LossFunction.MULTI_CLASS if name in self.several else LossFunction.SINGLE_CLASS


def settled(asked: Sequence[ClassifierTarget], counts: Counts) -> tuple[ClassifierTarget, ...]:
    """The targets asked for, or those of the rows, each with its loss function."""
    if not asked:
        return counts.targets()
    return tuple(
        replace(target, loss_function=target.loss_function or counts.kind(target.name))
        for target in asked
    )


def wrong(targets: Sequence[ClassifierTarget]) -> list[str]:
    """Everything about targets that cannot be trained, whatever the rows are."""
    told = []
    names = [target.name for target in targets]
    for twice in sorted({name for name in names if names.count(name) > 1}):
        told.append(f"the target {twice!r} is there twice; give it once")
    if len(targets) > MAX_TARGETS:
        told.append(f"{len(targets)} targets; at most {MAX_TARGETS} fit")
    for target in targets:
        n, where = len(target.labels), f"target {target.name!r}"
        least = 2 if target.single else 1
        if not target.name:
            told.append("a target has no name")
        if not least <= n <= MAX_LABELS:
            told.append(f"{where} has {n} labels, expected {least} to {MAX_LABELS}")
        if len(set(target.labels)) < n or "" in target.labels:
            told.append(f"{where} has a label twice, or an empty one")
        if not (target.weight >= 0 and math.isfinite(target.weight)):
            told.append(f"the weight of {where} is {target.weight:g}, expected 0 or more")
    if targets and not any(target.weight > 0 for target in targets):
        told.append("every target has the weight 0: nothing would be learned")
    return told


class Numbers:
    """The labels of all targets, counted through."""

    def __init__(self, targets: Sequence[ClassifierTarget]) -> None:
        self.targets = tuple(targets)
        pairs = [(target.name, label) for target in targets for label in target.labels]
        self._at = {pair: at for at, pair in enumerate(pairs)}

    def held(self, example: Example) -> list[int]:
        """Those of a row that fits the targets; labels of other names are left aside."""
        return sorted(
            self._at[target.name, label]
            for target in self.targets
            for label in set(example.labels[target.name])
        )

    def unfit(self, example: Example) -> list[Unfit]:
        """Everything about a row's labels that the targets do not allow."""
        return [found for target in self.targets for found in self._unfit(example, target)]

    def _unfit(self, example: Example, target: ClassifierTarget) -> Iterator[Unfit]:
        path, held = f"labels.{target.name}", example.labels.get(target.name)
        if held is None:
            hint = "give every row every label, or train one classifier for each"
            yield Unfit(path, "label_missing", f"{path} is missing", hint)
            return
        for label in held:
            if (target.name, label) not in self._at:
                text = f"{path} is {label!r}, expected one of {_listed(target.labels)}"
                hint = "spell it as the target does, or train with rows that have it"
                yield Unfit(path, "label_unknown", text, hint)
        if target.single and len(set(held)) != 1:
            n = "no label" if not held else f"{len(set(held))} labels"
            text = f"{path} has {n}, and the target {target.name!r} is single_class"
            hint = "give exactly one, or make the target multi_class"
            yield Unfit(path, "label_count", text, hint)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN} more"
