"""A suite and its files become a plan: items, prompts and scorers of one subject, all checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modiste.errors import InvalidInput
from modiste.evaluate.asking import asking_of
from modiste.evaluate.dataset import items_in, row_hash
from modiste.evaluate.items import Item
from modiste.evaluate.run import Plan
from modiste.evaluate.scorer import arranged, fitted
from modiste.evaluate.suite import Place, Suite


def planned(
    suite: Suite, subject: str, files: Mapping[str, Path], names: Mapping[str, str]
) -> Plan:
    """
    Args:
        files: the suite's files by their ids, and what people call them.

    Raises:
        InvalidInput: rows that cannot be read or asked, each line in `problems`; templates that
            name what the first row lacks.
    """
    asked = suite.models[subject]
    items = _items(suite, suite.dataset, files, names)
    shots = () if asked.shots is None else _others(_items(suite, asked.shots, files, names), items)
    plan = Plan(
        items=items,
        attempts=suite.attempts,
        asking=asking_of(suite, asked, shots),
        scorers=fitted(tuple(spec.build() for spec in suite.scorers), items),
        attacker=suite.attacker,
    )
    first = arranged(plan.scorers, items[0], 0)
    try:
        plan.asking.prompt(first, 0)
    except InvalidInput as error:
        raise InvalidInput(f"models.{subject}: {error.message}", param=error.param) from None
    return plan


def _others(shots: Sequence[Item], items: Sequence[Item]) -> list[Item]:
    """Examples that are not asked about themselves: those would give the answer away."""
    asked = {row_hash(item.row) for item in items}
    return [shot for shot in shots if row_hash(shot.row) not in asked]


def _items(
    suite: Suite, place: Place, files: Mapping[str, Path], names: Mapping[str, str]
) -> list[Item]:
    """Of the dataset, or of examples, which are read by the dataset's templates."""
    if place.file_id is None:
        raise InvalidInput("the suite names a path, and files are expected by their ids")
    data = suite.dataset
    if place is not data:
        of_items: dict[str, Any] = {"limit": None, "id": None, "cluster": None, "slices": {}}
        data = data.model_copy(update={**of_items, "file_id": place.file_id, "path": None})
    return items_in(files[place.file_id], data, name=names[place.file_id])
