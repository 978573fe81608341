"""Rows of a file become items: keys, references, clusters and slices, by the suite's templates.

Every bad line is told at once. An item's key is the row's own id where the suite names one, or a
hash of the row; the same row twice gets a number behind it, so that every row is an item of its
own and runs pair them in the same way.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from modiste.errors import InvalidInput
from modiste.evaluate.items import Item
from modiste.evaluate.suite import Data
from modiste.evaluate.template import Template, value_of
from modiste.prepare.sources.containers import packing_of
from modiste.prepare.sources.document import Item as RowIn
from modiste.prepare.sources.items import items
from modiste.types import Problem

MOST_PROBLEMS = 100


def items_in(path: Path, data: Data, *, name: str) -> list[Item]:
    """The items of a file: JSON lines, JSON, CSV, Parquet, gzipped or not.

    Args:
        name: what people call the file.

    Raises:
        InvalidInput: rows that cannot be read or lack what templates name, all of them in
            `problems`; no rows; a `limit` above their number.
    """
    return items_of(items(path, packing_of(path, filename=name), filename=name), data, name=name)


def items_of(rows: Iterable[RowIn], data: Data, *, name: str) -> list[Item]:
    """The same of rows that are read already."""
    templates = _Templates(data)
    found: list[Item] = []
    problems: list[Problem] = []
    seen: Counter[str] = Counter()
    for line, _, row, problem in rows:
        if problem is not None or not isinstance(row, Mapping):
            kind = type(row).__name__
            said = f"is a {kind}, expected an object with the fields of a row"
            problems.append(problem or Problem(name, line, "", "not_an_object", said))
            continue
        try:
            item = templates.item(row)
        except InvalidInput as error:
            problems.append(Problem(name, line, error.param or "", "field_missing", error.message))
            continue
        seen[item.key] += 1
        if (n := seen[item.key]) > 1:
            if data.id is not None:
                problems.append(
                    Problem(name, line, "dataset.id", "id_twice", f"has the id {item.key!r} again")
                )
            item = replace(item, key=f"{item.key}#{n}")
        found.append(item)
    if problems:
        raise refusal(problems)
    if not found:
        raise InvalidInput(f"{name} has no rows; an evaluation needs some", param="dataset")
    return _drawn(found, data, name)


def sha256_of(items: Sequence[Item]) -> str:
    """Of what is asked and what is right, in order: equal where two runs asked the same."""
    digest = hashlib.sha256()
    for item in items:
        told = [item.key, item.row, item.reference, item.cluster, item.slices]
        digest.update(orjson.dumps(told, option=orjson.OPT_SORT_KEYS) + b"\n")
    return digest.hexdigest()


def refusal(problems: Sequence[Problem]) -> InvalidInput:
    first = "; ".join(str(problem) for problem in problems[:3])
    more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
    return InvalidInput(first + more, param="dataset", problems=problems[:MOST_PROBLEMS])


class _Templates:
    def __init__(self, data: Data) -> None:
        self._reference = data.reference
        self._id = _template(data.id, "dataset.id")
        self._cluster = _template(data.cluster, "dataset.cluster")
        self._slices = {
            name: Template(source, param=f"dataset.slices.{name}")
            for name, source in data.slices.items()
        }

    def item(self, row: Mapping[str, Any]) -> Item:
        return Item(
            key=row_hash(row) if self._id is None else self._id.render(row),
            row=row,
            reference=None
            if self._reference is None
            else value_of(self._reference, row, param="dataset.reference"),
            cluster=None if self._cluster is None else self._cluster.render(row),
            slices={name: template.render(row) for name, template in self._slices.items()},
        )


def _template(source: str | None, param: str) -> Template | None:
    return None if source is None else Template(source, param=param)


def row_hash(row: Mapping[str, Any]) -> str:
    """What a row is known by where the suite names no id: 64 bits of its content's hash."""
    return hashlib.sha256(orjson.dumps(row, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def _drawn(items: list[Item], data: Data, name: str) -> list[Item]:
    """`limit` of them in the order of the file, drawn by the seed."""
    if data.limit is None:
        return items
    if data.limit > len(items):
        raise InvalidInput(
            f"dataset.limit is {data.limit}, and {name} has {len(items)} rows; leave it out to "
            "take all",
            param="dataset.limit",
        )
    chosen = random.Random(data.seed).sample(range(len(items)), data.limit)  # noqa: S311
    return [items[at] for at in sorted(chosen)]
