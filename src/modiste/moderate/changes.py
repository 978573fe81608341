"""What two versions of a policy differ in: categories by code, detectors by name, all by field."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from modiste.moderate.policy import Policy

BY_NAME = {"categories": "code", "detectors": "name"}


class Change(NamedTuple):
    path: str
    """Such as `categories.selfharm.threshold`."""
    before: Any
    """None: it was not there, or had no value."""
    after: Any


def changes(before: Policy, after: Policy) -> tuple[Change, ...]:
    """All of them, in the order of the older version, then what is new."""
    old, new = as_json(before), as_json(after)
    found: list[Change] = []
    for field in dict.fromkeys((*old, *new)):
        if (key := BY_NAME.get(field)) is not None:
            found += _parts(field, _by(key, old[field]), _by(key, new[field]))
        elif old.get(field) != new.get(field):
            found.append(Change(field, old.get(field), new.get(field)))
    return tuple(found)


def as_json(policy: Policy) -> dict[str, Any]:
    """As it is kept: every field with its value, defaults too."""
    said: dict[str, Any] = policy.model_dump(mode="json", by_alias=True)
    return said


def _parts(
    field: str, old: dict[str, dict[str, Any]], new: dict[str, dict[str, Any]]
) -> Iterator[Change]:
    for name in dict.fromkeys((*old, *new)):
        path = f"{field}.{name}"
        if name not in old or name not in new:
            yield Change(path, old.get(name), new.get(name))
            continue
        for part in dict.fromkeys((*old[name], *new[name])):
            was, is_now = old[name].get(part), new[name].get(part)
            if was != is_now:
                yield Change(f"{path}.{part}", was, is_now)


def _by(key: str, parts: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {part[key]: part for part in parts}
