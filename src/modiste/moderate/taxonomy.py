"""Taxonomies: what may be wrong with a text, by the codes of those who published lists of it.

A code counts with its family and version alone (`llama-guard/2:S5`): S5 is another hazard in
version 3. The lists are data (`taxonomies/*.yaml`), and so is the crosswalk between them, whose
lines say which codes overlap, not which are equal.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

import yaml

from modiste.errors import NotFound

FOLDER = "taxonomies"
CROSSWALK = "crosswalk.yaml"


class Code(NamedTuple):
    taxonomy: str
    """Family and version, as in `llama-guard/3`."""
    name: str
    """Such as `S5`."""

    def __str__(self) -> str:
        return f"{self.taxonomy}:{self.name}"


@dataclass(frozen=True)
class Category:
    code: Code
    title: str
    definition: str
    part_of: str | None = None
    """Name of the category of the same taxonomy that holds this one."""


@dataclass(frozen=True)
class Taxonomy:
    name: str
    """Family and version."""
    title: str
    categories: Mapping[str, Category]
    """By name, in the order of their list."""


@cache
def taxonomies() -> Mapping[str, Taxonomy]:
    """All that ship with the package, by name."""
    found: dict[str, Taxonomy] = {}
    folder = resources.files("modiste.moderate") / FOLDER
    for file in sorted(folder.iterdir(), key=lambda each: each.name):
        if not file.name.endswith(".yaml") or file.name == CROSSWALK:
            continue
        said = yaml.safe_load(file.read_text(encoding="utf-8"))
        for version, categories in said["versions"].items():
            name = f"{said['family']}/{version}"
            found[name] = Taxonomy(
                name, f"{said['title']}, {version}", _categories(name, categories)
            )
    return found


def taxonomy(name: str) -> Taxonomy:
    """
    Raises:
        NotFound: none is called so; the message names the nearest.
    """
    known = taxonomies()
    if name not in known:
        raise NotFound(f"no taxonomy is called {name!r}{_nearest(name, known)}", param="taxonomy")
    return known[name]


def category(code: str, *, within: str | None = None) -> Category:
    """What `llama-guard/3:S5` means, or `S5` within a taxonomy.

    Raises:
        NotFound: nothing; the message names the nearest.
    """
    of, colon, name = code.rpartition(":")
    if not colon and within is None:
        raise NotFound(
            f"{code!r} is no code without its taxonomy, as in llama-guard/3:S5", param="code"
        )
    found = taxonomy(of if colon else str(within))
    if name not in found.categories:
        near = _nearest(name, found.categories)
        raise NotFound(f"{found.name} has no {name!r}{near}", param="code")
    return found.categories[name]


def equivalents(code: Code, into: str) -> tuple[str, ...]:
    """Names in the taxonomy `into` of hazards that overlap with this one; none where it has none.

    Raises:
        NotFound: no such code or taxonomy.
    """
    category(str(code))
    there = taxonomy(into)
    if code.taxonomy == into:
        return (code.name,)
    found = {
        name
        for line in _crosswalk()
        if code.name in line.get(code.taxonomy, ())
        for name in line.get(into, ())
    }
    return tuple(name for name in there.categories if name in found)


@cache
def _crosswalk() -> tuple[Mapping[str, Any], ...]:
    text = (resources.files("modiste.moderate") / FOLDER / CROSSWALK).read_text(encoding="utf-8")
    return tuple(yaml.safe_load(text))


def _categories(taxonomy: str, said: Mapping[str, Mapping[str, str]]) -> dict[str, Category]:
    """A version that builds on another lists the other's first."""
    return {
        name: Category(Code(taxonomy, name), of["title"], of["definition"], of.get("part_of"))
        for name, of in said.items()
    }


def _nearest(name: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(known)}"
