"""What a row says under a name: the way users point at a part of their rows.

`prompt` (all that is asked, without system messages), `answer`, `labels` and `type` are read from
the example, whatever the file's format; case and white space of texts do not count. Any other name
is a path into the row as it was written: `label`, `metadata.user`, `messages[0].role`.
`labels.topic` is one of several labels.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from modiste.prepare.curate.normal import normal, said
from modiste.prepare.records import Record

_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")

Reader = Callable[[Record], tuple[str, ...]]


def values_of(name: str) -> Reader:
    """What rows say under `name`: several values where a list stands there, none where nothing."""
    if name == "prompt":
        return lambda record: (normal(said(record.example).asked),)
    if name == "answer":
        return lambda record: (normal(said(record.example).answered),)
    if name == "type":
        return lambda record: (record.example.sample_type.value,)
    if name == "labels":
        return _all_labels
    label = name.removeprefix("labels.")
    if label != name:
        return lambda record: record.example.labels.get(label) or _at_path(record, name)
    return lambda record: _at_path(record, name)


def value_of(name: str) -> Callable[[Record], str | None]:
    """All that a row says under `name` as one text; None where it says nothing."""
    read = values_of(name)

    def one(record: Record) -> str | None:
        values = read(record)
        return "\n".join(values) if values else None

    return one


def _all_labels(record: Record) -> tuple[str, ...]:
    labels = record.example.labels
    if len(labels) == 1:
        return next(iter(labels.values()))
    return tuple(f"{name}={value}" for name, values in labels.items() for value in values)


def _at_path(record: Record, path: str) -> tuple[str, ...]:
    found = value_at(record.value, path)
    if found is None:
        return ()
    items: Sequence[Any] = found if isinstance(found, list) else [found]
    return tuple(item if isinstance(item, str) else orjson.dumps(item).decode() for item in items)


def value_at(value: Any, path: str) -> Any:
    """The JSON value at a path; None where the path leads nowhere."""
    if isinstance(value, dict) and path in value:
        return value[path]
    for key, index in _STEP.findall(path):
        if index:
            at = int(index)
            value = value[at] if isinstance(value, list) and at < len(value) else None
        else:
            value = value.get(key) if isinstance(value, dict) else None
    return value
