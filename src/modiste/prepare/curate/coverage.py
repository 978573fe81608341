"""Whether the rows cover a policy: task by category by kind of case, and what is missing.

The policy is a YAML file:

    categories: [S1, {code: S2, title: Fraud, terms: [scam, phishing]}]
    kinds: [violating, near-miss, edge]     these unless others are given
    tasks: [chat, summary]                  optional
    target: 20                              rows wanted in each cell
    fields: {category: metadata.policy, kind: metadata.kind, task: metadata.task}

A row's cell is what its fields say. Where the field of the category is missing in a row, a term of
a category in what is asked counts as its mention; such rows have no kind.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from modiste.prepare.curate.fields import values_of
from modiste.prepare.curate.normal import normal, said
from modiste.prepare.curate.stage import Settings, parse_settings
from modiste.prepare.records import Record
from modiste.prepare.yaml_file import read_mapping

VIOLATING, NEAR_MISS = "violating", "near-miss"
KINDS = (VIOLATING, NEAR_MISS, "edge")
TARGET = 20
ANY = "any"


class Category(Settings):
    code: str
    title: str = ""
    terms: tuple[str, ...] = ()
    """Words that show the category in a row that does not name it."""


class Fields(Settings):
    """Where rows name their cell."""

    category: str = "policy"
    kind: str = "kind"
    task: str = "task"


def _as_category(value: Any) -> Any:
    return {"code": str(value)} if isinstance(value, str | int) else value


class Policy(Settings):
    categories: tuple[Annotated[Category, BeforeValidator(_as_category)], ...] = Field(min_length=1)
    kinds: tuple[str, ...] = KINDS
    tasks: tuple[str, ...] = ()
    target: int = Field(default=TARGET, ge=1)
    fields: Fields = Fields()


def read_policy(path: Path) -> Policy:
    """Raises InvalidInput with everything that is wrong."""
    content = read_mapping(path, expected="`categories:`, at least")
    return parse_settings(Policy, content, where=str(path))


class Coverage:
    """Counts rows in cells, one row after the other."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._cells: Counter[tuple[str, str, str]] = Counter()
        self._unknown: Counter[str] = Counter()
        self._category = values_of(policy.fields.category)
        self._kind = values_of(policy.fields.kind)
        self._task = values_of(policy.fields.task)
        self._known = {category.code for category in policy.categories}
        self._terms = {
            category.code: re.compile(
                rf"\b({'|'.join(re.escape(normal(term)) for term in category.terms)})\b"
            )
            for category in policy.categories
            if category.terms
        }
        self._n_mentions = 0
        self._n_outside = 0

    def add(self, record: Record) -> None:
        named = self._category(record)
        task = next(iter(self._task(record)), ANY) if self.policy.tasks else ANY
        kind = next(iter(self._kind(record)), ANY)
        codes = [code for code in named if code in self._known]
        self._unknown.update(code for code in named if code not in self._known)
        for code in codes:
            self._cells[task, code, kind] += 1
        if named:
            return
        asked = normal(said(record.example).asked) if self._terms else ""
        mentioned = [code for code, terms in self._terms.items() if terms.search(asked)]
        for code in mentioned:
            self._cells[task, code, ANY] += 1
        self._n_mentions += bool(mentioned)
        self._n_outside += not mentioned

    def to_json(self) -> dict[str, Any]:
        """Every cell with its gap; `gaps` are those to be filled, the widest first."""
        cells = []
        for task in self.policy.tasks or (ANY,):
            for category in self.policy.categories:
                cells += [self._cell(task, category, kind) for kind in self.policy.kinds]
        gaps = sorted((c for c in cells if c["gap"]), key=lambda c: (-c["gap"], c["category"]))
        return {
            "target": self.policy.target,
            "cells": cells,
            "gaps": gaps,
            "without_kind": {
                category.code: n
                for category in self.policy.categories
                if (n := sum(self._cells[t, category.code, ANY] for t in (*self.policy.tasks, ANY)))
            },
            "unknown_categories": dict(self._unknown.most_common()),
            "told_by_terms": self._n_mentions,
            "rows_without_category": self._n_outside,
            "warnings": self._one_sided(),
        }

    def _cell(self, task: str, category: Category, kind: str) -> dict[str, Any]:
        n_rows = self._cells[task, category.code, kind]
        return {
            "task": task,
            "category": category.code,
            "title": category.title,
            "kind": kind,
            "rows": n_rows,
            "gap": max(0, self.policy.target - n_rows),
        }

    def _one_sided(self) -> list[str]:
        """A model that is only ever shown violations learns to refuse their neighbours."""
        said = []
        for category in self.policy.categories:
            count = {
                kind: sum(
                    n for (_, c, k), n in self._cells.items() if (c, k) == (category.code, kind)
                )
                for kind in (VIOLATING, NEAR_MISS)
            }
            if count[VIOLATING] > count[NEAR_MISS]:
                said.append(
                    f"{category.code}: {count[VIOLATING]} violating rows and {count[NEAR_MISS]} "
                    "near-misses with a helpful answer; at least one for each keeps a model from "
                    "refusing too much"
                )
        return said
