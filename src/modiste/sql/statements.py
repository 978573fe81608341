"""What can be said: one frozen class per statement, made by `grammar`, done by `execute`.

`tag` is the word PostgreSQL would answer with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from sqlglot import exp

Path = tuple[str, ...]
Using = Mapping[str, object]


@dataclass(frozen=True)
class Raw:
    """`db (sql)`: for that database word for word. Without a database it is a query of ours."""

    database: str | None
    sql: str


@dataclass(frozen=True)
class Statement:
    tag: ClassVar[str] = ""


@dataclass(frozen=True)
class CreateEngine(Statement):
    tag = "CREATE ML_ENGINE"
    name: str
    handler: str
    using: Using
    if_not_exists: bool = False


@dataclass(frozen=True)
class DropEngine(Statement):
    tag = "DROP ML_ENGINE"
    name: str
    if_exists: bool = False


@dataclass(frozen=True)
class CreateModel(Statement):
    tag = "CREATE MODEL"
    name: Path
    predict: str
    using: Using
    source: Raw | None = None
    if_not_exists: bool = False
    or_replace: bool = False


@dataclass(frozen=True)
class Finetune(Statement):
    tag = "FINETUNE"
    name: Path
    source: Raw
    using: Using
    explain: bool = False


@dataclass(frozen=True)
class Retrain(Statement):
    tag = "RETRAIN"
    name: Path
    source: Raw | None
    predict: str | None
    using: Using


@dataclass(frozen=True)
class CancelFinetune(Statement):
    tag = "CANCEL FINETUNE"
    name: Path


@dataclass(frozen=True)
class DropModel(Statement):
    tag = "DROP MODEL"
    name: Path
    if_exists: bool = False


@dataclass(frozen=True)
class SetActive(Statement):
    tag = "SET"
    name: Path


@dataclass(frozen=True)
class Select(Statement):
    """A query: its tree, what USING says, and the texts behind `__raw_N`."""

    tag = "SELECT"
    tree: exp.Expr
    using: Using
    raws: Mapping[str, Raw]
    spelled: tuple[str, ...] = ()
    """Its columns as they were written."""


@dataclass(frozen=True)
class CreateDatabase(Statement):
    """Without an engine it is a project."""

    tag = "CREATE DATABASE"
    name: str
    engine: str | None
    parameters: Mapping[str, object]
    if_not_exists: bool = False


@dataclass(frozen=True)
class AlterDatabase(Statement):
    tag = "ALTER DATABASE"
    name: str
    parameters: Mapping[str, object]


@dataclass(frozen=True)
class DropDatabase(Statement):
    tag = "DROP DATABASE"
    name: str
    if_exists: bool = False


@dataclass(frozen=True)
class Use(Statement):
    tag = "USE"
    name: str


@dataclass(frozen=True)
class Transaction(Statement):
    """BEGIN, COMMIT or ROLLBACK."""

    word: str


@dataclass(frozen=True)
class SetVariables(Statement):
    tag = "SET"
    values: Mapping[str, str]


@dataclass(frozen=True)
class Describe(Statement):
    """`what` is model, job, database, ml_engine or view; empty where the name decides."""

    tag = "DESCRIBE"
    what: str
    name: Path


@dataclass(frozen=True)
class Show(Statement):
    """`what` in lower case, `full databases` and the like in one."""

    tag = "SHOW"
    what: str
    full: bool = False
    source: Path = ()
    like: str | None = None
    where: exp.Expr | None = None


@dataclass(frozen=True)
class CreateView(Statement):
    tag = "CREATE VIEW"
    name: Path
    query: Raw


@dataclass(frozen=True)
class DropView(Statement):
    tag = "DROP VIEW"
    name: Path
    if_exists: bool = False


@dataclass(frozen=True)
class CreateTable(Statement):
    """`of` are the query whose rows it gets, or its columns."""

    tag = "CREATE TABLE"
    name: Path
    of: Select | exp.Schema
    or_replace: bool = False
    if_not_exists: bool = False


@dataclass(frozen=True)
class Insert(Statement):
    tag = "INSERT"
    name: Path
    columns: tuple[str, ...]
    query: Select


@dataclass(frozen=True)
class DropTable(Statement):
    tag = "DROP TABLE"
    name: Path
    if_exists: bool = False


@dataclass(frozen=True)
class CreateJob(Statement):
    tag = "CREATE JOB"
    name: Path
    body: tuple[str, ...]
    condition: tuple[str, ...] = ()
    start: str | None = None
    end: str | None = None
    every: tuple[int, str] | None = None
    if_not_exists: bool = False


@dataclass(frozen=True)
class DropJob(Statement):
    tag = "DROP JOB"
    name: Path
    if_exists: bool = False


@dataclass(frozen=True)
class Evaluate(Statement):
    tag = "EVALUATE"
    metric: str
    query: str
    using: Using = field(default_factory=dict)


@dataclass(frozen=True)
class Compare(Statement):
    """Two versions on the rows of a query, or two runs by their ids, without a query."""

    tag = "COMPARE"
    a: Path
    b: Path
    source: Raw | None
    using: Using = field(default_factory=dict)


@dataclass(frozen=True)
class Promote(Statement):
    """Without `to` the model's own name, `@production`."""

    tag = "PROMOTE"
    name: Path
    to: str | None = None
    using: Using = field(default_factory=dict)
    override: str | None = None
