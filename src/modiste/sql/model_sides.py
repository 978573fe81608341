"""Who is who in a query with models: what is data, what is asked, and which condition is whose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import pyarrow as pa
from sqlglot import exp

from modiste.sql import errors
from modiste.sql.local import Reading
from modiste.sql.names import Target
from modiste.sql.predict import Asking
from modiste.sql.query import constant, is_constant
from modiste.sql.statements import Raw
from modiste.types import PredictorVersion

Found = Sequence[tuple[exp.Table, Target | Raw]]


class Place(NamedTuple):
    """Of a column in the data."""

    alias: str
    at: int


@dataclass
class Model:
    alias: str
    version: PredictorVersion
    columns: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Input to alias and column of the data; empty takes every column under its own name."""
    constants: dict[str, object] = field(default_factory=dict)

    @property
    def target(self) -> str:
        return self.version.predict.lower()


@dataclass(frozen=True)
class Side:
    """The data, on its way: a struct for each alias, so that equal names do not collide."""

    aliases: list[str]
    reading: Reading
    ordered: bool
    """ORDER BY is done."""
    limited: bool
    """LIMIT is done, too."""
    few: bool
    """No more rows than are allowed can come."""

    def columns(self, alias: str) -> list[str]:
        return [each.name for each in self.fields(alias)]

    def fields(self, alias: str) -> list[pa.Field]:
        return list(self.reading.schema.field(alias).type)

    def place(self, alias: str, column: str) -> Place:
        """Raises SqlError: the alias has no such column."""
        names = self.columns(alias) if alias in self.aliases else []
        for at, name in enumerate(names):
            if name.lower() == column.lower():
                return Place(alias, at)
        raise errors.no_column(f"Table not found for column: {column}")

    def home(self, name: str) -> str:
        """The alias whose column it is. Raises SqlError: nobody's, or that of several."""
        found = [
            alias for alias in self.aliases if name.lower() in map(str.lower, self.columns(alias))
        ]
        if not found:
            raise errors.no_column(f"Table not found for column: {name}")
        if len(found) > 1:
            raise errors.ambiguous(f"Column '{name}' is in {' and '.join(found)}; say which")
        return found[0]


@dataclass(frozen=True)
class Asked:
    """A model, how it is asked, and which columns of the data it is asked with."""

    model: Model
    asking: Asking
    reads: Mapping[str, Place]
    shown: Mapping[str, Place]
    """Inputs that ON maps; they can be selected as the model's own columns."""


def asked_of(side: Side, model: Model, asking: Asking) -> Asked:
    """Raises SqlError: a column that nobody has, or one that the model reads and lacks."""
    mapped = {
        name: side.place(alias or side.home(column), column)
        for name, (alias, column) in model.columns.items()
    }
    places: dict[str, Place] = {}
    for alias in side.aliases:
        for at, name in enumerate(side.columns(alias)):
            places.setdefault(name.lower(), Place(alias, at))
    places |= mapped
    asking.refuse_missing([*places, *model.constants])
    reads = {name: places[name] for name in asking.inputs() if name in places}
    shown = {name: place for name, place in mapped.items() if name != model.target}
    return Asked(model, asking, reads, shown)


def sides(
    tree: exp.Select, by_node: Mapping[int, Target | Raw]
) -> tuple[list[Model], list[exp.Join | exp.From]]:
    """The models, their inputs mapped by ON, and the clauses of the data.

    Raises:
        SqlError: no data, one name twice, or an ON that is no mapping.
    """
    models: list[Model] = []
    data: list[exp.Join | exp.From] = []
    taken: set[str] = set()
    for clause in [tree.args["from_"], *(tree.args.get("joins") or [])]:
        target = by_node.get(id(clause.this))
        alias = clause.this.alias_or_name.lower()
        if isinstance(target, PredictorVersion):
            alias = (clause.this.alias or target.name).lower()
            models.append(Model(alias, target))
        else:
            data.append(clause)
        if alias in taken:
            raise errors.bad(f"{alias} is joined twice; give one of them another name with AS")
        taken.add(alias)
    if not data:
        raise errors.bad("A model is joined with data: FROM <data> JOIN model.")
    for join in tree.args.get("joins") or []:
        parts = _parts(join.args.get("on"))
        if isinstance(by_node.get(id(join.this)), PredictorVersion):
            _map(models, parts)
        elif any(_is_of(models, part) for part in parts):
            _map(models, [part for part in parts if _is_of(models, part)])
            rest = [part for part in parts if not _is_of(models, part)]
            if rest and join is data[0]:
                raise errors.bad("ON of a model says only model.input = data.column.")
            join.set("on", exp.and_(*rest) if rest else None)
            join.set("kind", None if rest else "CROSS")
    return models, data


def split(tree: exp.Select, models: list[Model]) -> tuple[list[exp.Expr], list[exp.Expr]]:
    """Conditions of WHERE on the data, and those on answers; inputs go to their models."""
    own, after = [], []
    where = tree.args.get("where")
    for part in _parts(None if where is None else where.this):
        column, value = (part.left, part.right) if isinstance(part, exp.EQ) else (None, None)
        model = _of(models, column)
        name = column.name.lower() if isinstance(column, exp.Column) else ""
        if model is not None and is_constant(value) and name != model.target:
            model.constants[name] = constant(value)
        elif touches(models, part):
            after.append(part)
        else:
            own.append(part)
    return own, after


def touches(models: list[Model], node: exp.Expr) -> bool:
    """Whether an answer, or an input of a model, is in it."""
    for column in node.find_all(exp.Column):
        if _of(models, column) is not None:
            return True
        if not column.table and any(column.name.lower() == each.target for each in models):
            return True
    return False


def using_of(using: Mapping[str, object], alias: str, models: set[str]) -> dict[str, object]:
    """`alias.key` is for that model alone."""
    found: dict[str, object] = {}
    for key, value in using.items():
        head, dot, name = key.rpartition(".")
        if not dot:
            found.setdefault(key, value)
        elif head == alias:
            found[name] = value
        elif head not in models:
            raise errors.bad(f"USING {key}: no model of this query is called {head}.")
    return found


def _map(models: list[Model], parts: list[exp.Expr]) -> None:
    """`ON m.x = t.y`: input x is the column y."""
    for part in parts:
        left, right = (part.left, part.right) if isinstance(part, exp.EQ) else (None, None)
        if isinstance(right, exp.Column) and _of(models, right) is not None:
            left, right = right, left
        model = _of(models, left)
        if model is None or not isinstance(left, exp.Column):
            raise errors.bad("ON of a model says only model.input = data.column.")
        if isinstance(right, exp.Column):
            model.columns[left.name.lower()] = (right.table.lower(), right.name)
        elif is_constant(right):
            model.constants[left.name.lower()] = constant(right)
        else:
            raise errors.bad("ON of a model says only model.input = data.column.")


def _is_of(models: list[Model], part: exp.Expr) -> bool:
    """Whether an ON that stands at the data speaks of a model."""
    return any(_of(models, column) is not None for column in part.find_all(exp.Column))


def _parts(condition: exp.Expr | None) -> list[exp.Expr]:
    if condition is None:
        return []
    inner = condition.unnest()
    return [each.unnest() for each in inner.flatten()] if isinstance(inner, exp.And) else [inner]


def _of(models: list[Model], node: exp.Expr | None) -> Model | None:
    """The model that a qualified column belongs to."""
    if not isinstance(node, exp.Column):
        return None
    return next((model for model in models if model.alias == node.table.lower()), None)
