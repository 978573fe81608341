"""Rows of a file become items: keys, references, clusters and slices, by the suite's templates.

Every bad line is told at once. An item's key is the row's own id where the suite names one, or a
hash of the row; the same row twice gets a number behind it, so that every row is an item of its
own and runs pair them in the same way.
"""

from __future__ import annotations

import gzip
import hashlib
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from modiste.errors import InvalidInput
from modiste.evaluate.items import Item
from modiste.evaluate.suite import Data
from modiste.evaluate.template import Template
from modiste.types import Problem

MOST_PROBLEMS = 100
ALONE = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")
"""A template that is one field and nothing else keeps what the field is."""


class Rows:
    """JSON objects of a file in order, each with its line."""

    def __init__(self, name: str, lines: Iterable[bytes]) -> None:
        self.name = name
        self._lines = lines

    def __iter__(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """
        Raises:
            InvalidInput: lines that are no JSON objects, all of them in `problems`.
        """
        problems: list[Problem] = []
        for number, line in enumerate(self._lines, start=1):
            if not line.strip():
                continue
            try:
                row = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                problems.append(self._problem(number, "json_invalid", f"is not JSON: {error}"))
                continue
            if not isinstance(row, dict):
                kind = type(row).__name__
                problems.append(self._problem(number, "not_an_object", f"is a {kind}, no object"))
                continue
            if not problems:
                yield number, row
        if problems:
            raise refusal(problems)

    def _problem(self, line: int, code: str, message: str) -> Problem:
        return Problem(self.name, line, "", code, message)


def rows_of(path: Path, *, name: str | None = None) -> Rows:
    """Of a JSONL file, gzipped or not, whatever it is called."""
    return Rows(name or path.name, _lines(path))


def items_of(rows: Iterable[tuple[int, Mapping[str, Any]]], data: Data, *, name: str) -> list[Item]:
    """
    Raises:
        InvalidInput: templates that name fields which rows lack, with every such line; no rows;
            a `limit` above their number.
    """
    templates = _Templates(data)
    found: list[tuple[int, Item]] = []
    problems: list[Problem] = []
    seen: Counter[str] = Counter()
    for line, row in rows:
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
            item = _keyed(item, f"{item.key}#{n}")
        found.append((line, item))
    if problems:
        raise refusal(problems)
    if not found:
        raise InvalidInput(f"{name} has no rows; an evaluation needs some", param="dataset")
    return _drawn([item for _, item in found], data, name)


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
            key=_hash(row) if self._id is None else self._id.render(row),
            row=row,
            reference=None if self._reference is None else value_of(self._reference, row),
            cluster=None if self._cluster is None else self._cluster.render(row),
            slices={name: template.render(row) for name, template in self._slices.items()},
        )


def value_of(source: str, row: Mapping[str, Any], *, param: str = "dataset.reference") -> Any:
    """What a template makes of a row; of a field alone, the field itself."""
    alone = ALONE.fullmatch(source.strip())
    if alone and alone[1] in row:
        return row[alone[1]]
    return Template(source, param=param).render(row)


def _template(source: str | None, param: str) -> Template | None:
    return None if source is None else Template(source, param=param)


def _keyed(item: Item, key: str) -> Item:
    return Item(key, item.row, item.reference, item.cluster, item.slices)


def _hash(row: Mapping[str, Any]) -> str:
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


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    with gzip.open(path, "rb") if packed else path.open("rb") as lines:
        yield from lines
