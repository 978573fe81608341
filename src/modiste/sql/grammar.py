"""Text to statements: the first words decide, each statement then reads itself.

Refuses with the place (line and column) of what it did not expect. Statements about data are read
in `grammar_data`, what writes into databases in `grammar_tables`, what measures models in
`grammar_evals`, queries in `grammar_query`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from modiste.sql import (
    errors,
    grammar_data,
    grammar_evals,
    grammar_query,
    grammar_tables,
    lexer,
)
from modiste.sql.lexer import Cursor, word
from modiste.sql.session import Dialect
from modiste.sql.statements import (
    CancelFinetune,
    CreateEngine,
    CreateModel,
    DropEngine,
    DropModel,
    Finetune,
    Retrain,
    SetActive,
    SetVariables,
    Statement,
    Transaction,
    Use,
)
from modiste.sql.values import using, value

Read = Callable[[Cursor], Statement]
MODEL = ("MODEL", "PREDICTOR")


def statements(text: str, dialect: Dialect, parameters: Sequence[object] = ()) -> list[Statement]:
    """Raises SqlError for the first statement that cannot be read."""
    return [_statement(piece, tuple(parameters)) for piece in lexer.pieces(text, dialect)]


def _statement(piece: lexer.Piece, parameters: tuple[object, ...]) -> Statement:
    at = Cursor(piece, parameters)
    first = word(at.peek())
    read = FIRST.get(first)
    if read is None:
        at.fail("no statement begins so")
    try:
        statement = read(at)
    except RecursionError:
        raise errors.bad("The statement is nested too deeply.") from None
    at.done()
    return statement


def _create(at: Cursor) -> Statement:
    at.expect("CREATE")
    replace = at.accept("OR", "REPLACE")
    if at.one_of(*MODEL):
        return _create_model(at, replace)
    if at.accept("TABLE"):
        return grammar_tables.create_table(at, replace)
    if at.accept("VIEW"):
        return grammar_data.create_view(at)
    if replace:
        at.fail("expected MODEL or TABLE")
    if at.accept("ML_ENGINE"):
        return _create_engine(at)
    if at.one_of("DATABASE", "SCHEMA"):
        return grammar_data.create_database(at)
    if at.accept("PROJECT"):
        return grammar_data.create_project(at)
    if at.accept("JOB"):
        return grammar_data.create_job(at)
    at.fail("expected MODEL, ML_ENGINE, DATABASE, PROJECT, JOB, VIEW or TABLE")


def _create_engine(at: Cursor) -> Statement:
    there = grammar_data.if_not_exists(at)
    name = at.name(made=True)
    at.expect("FROM")
    return CreateEngine(name, at.name(), using(at), there)


def _create_model(at: Cursor, replace: bool) -> Statement:
    there = grammar_data.if_not_exists(at)
    name = at.path(made=True)
    source = grammar_data.raw(at) if at.accept("FROM") else None
    at.expect("PREDICT")
    predict = at.name()
    return CreateModel(name, predict, using(at), source, there, replace)


def _drop(at: Cursor) -> Statement:
    at.expect("DROP")
    if at.one_of(*MODEL):
        there = grammar_data.if_exists(at)
        return DropModel(at.path(), there)
    if at.accept("ML_ENGINE"):
        there = grammar_data.if_exists(at)
        return DropEngine(at.name(), there)
    return grammar_data.drop(at)


def _finetune(at: Cursor) -> Finetune:
    at.expect("FINETUNE")
    at.one_of(*MODEL)
    name = at.path()
    at.expect("FROM")
    return Finetune(name, grammar_data.raw(at), using(at))


def _explain(at: Cursor) -> Statement:
    """EXPLAIN FINETUNE; MySQL's EXPLAIN t is DESCRIBE t."""
    if not at.sees("EXPLAIN", "FINETUNE"):
        return grammar_data.describe(at)
    at.expect("EXPLAIN")
    told = _finetune(at)
    return Finetune(told.name, told.source, told.using, explain=True)


def _retrain(at: Cursor) -> Statement:
    at.expect("RETRAIN")
    at.one_of(*MODEL)
    name = at.path()
    source = grammar_data.raw(at) if at.accept("FROM") else None
    predict = at.name() if at.accept("PREDICT") else None
    return Retrain(name, source, predict, using(at))


def _cancel(at: Cursor) -> Statement:
    at.expect("CANCEL", "FINETUNE")
    return CancelFinetune(at.path())


def _set(at: Cursor) -> Statement:
    at.expect("SET")
    if at.accept("ACTIVE"):
        return SetActive(at.path())
    if at.accept("MODEL_ACTIVE", "="):
        return SetActive(at.path())
    return SetVariables(_variables(at))


def _variables(at: Cursor) -> dict[str, str]:
    """What drivers set: `autocommit = 1, @@session.x = y`, `NAMES utf8mb4`, `x TO y`."""
    if at.one_of("NAMES"):
        charset = at.next().text
        if at.accept("COLLATE"):
            at.next()
        return {"names": charset}
    if at.accept("CHARACTER", "SET") or at.accept("CHARSET"):
        return {"names": at.next().text}
    at.one_of("SESSION", "GLOBAL", "LOCAL")
    if at.accept("TRANSACTION") or at.accept("CHARACTERISTICS"):
        return {"transaction": " ".join(_rest(at))}
    found: dict[str, str] = {}
    while True:
        while word(at.peek()) in ("@@", "@", "SESSION", "GLOBAL", "LOCAL", "."):
            at.next()
        name = ".".join(at.path())
        if at.sees(":="):
            at.next()
        elif not (at.accept("=") or at.accept("TO")):
            at.fail("expected =")
        found[name] = _setting(at)
        if not at.accept(","):
            return found


def _setting(at: Cursor) -> str:
    while word(at.peek()) in ("@@", "@"):
        at.next()
    said = value(at)
    return "" if said is None else str(said)


def _rest(at: Cursor) -> list[str]:
    said = []
    while at.peek() is not None:
        said.append(at.next().text)
    return said


def _transaction(at: Cursor) -> Statement:
    """Taken and without effect: every statement here is whole by itself."""
    said = word(at.next())
    _rest(at)
    return Transaction("BEGIN" if said == "START" else said)


def _use(at: Cursor) -> Statement:
    at.expect("USE")
    return Use(at.name())


def _update(at: Cursor) -> Statement:
    """`UPDATE models_versions SET active = 1 WHERE version = N AND name = 'm'`"""
    at.expect("UPDATE")
    project = _versions_table(at)
    at.expect("SET", "ACTIVE", "=")
    if value(at) not in (1, True, "1"):
        at.fail("a version is made inactive by making another one active")
    return SetActive(_named_version(at, project))


def _delete(at: Cursor) -> Statement:
    at.expect("DELETE", "FROM")
    project = _versions_table(at)
    return DropModel(_named_version(at, project))


def _versions_table(at: Cursor) -> tuple[str, ...]:
    path = at.path()
    if path[-1] not in ("models_versions", "models") or len(path) > 2:
        raise errors.unsupported("Changing rows of tables other than models_versions")
    return path[:-1]


def _named_version(at: Cursor, project: tuple[str, ...]) -> tuple[str, ...]:
    at.expect("WHERE")
    told: dict[str, object] = {}
    while True:
        name = at.path()[-1]
        at.expect("=")
        told[name] = value(at)
        if not at.accept("AND"):
            break
    if set(told) != {"name", "version"}:
        at.fail("expected WHERE name = '...' AND version = N")
    return (*project, str(told["name"]), str(told["version"]))


FIRST: dict[str, Read] = {
    "CREATE": _create,
    "DROP": _drop,
    "ALTER": grammar_data.alter,
    "FINETUNE": _finetune,
    "RETRAIN": _retrain,
    "CANCEL": _cancel,
    "EXPLAIN": _explain,
    "DESCRIBE": grammar_data.describe,
    "DESC": grammar_data.describe,
    "SHOW": grammar_data.show,
    "USE": _use,
    "BEGIN": _transaction,
    "START": _transaction,
    "COMMIT": _transaction,
    "ROLLBACK": _transaction,
    "SAVEPOINT": _transaction,
    "RELEASE": _transaction,
    "SET": _set,
    "UPDATE": _update,
    "DELETE": _delete,
    "INSERT": grammar_tables.insert,
    "EVALUATE": grammar_evals.evaluate,
    "COMPARE": grammar_evals.compare,
    "PROMOTE": grammar_evals.promote,
    "SELECT": grammar_query.select,
    "WITH": grammar_query.select,
    "(": grammar_query.select,
    "VALUES": grammar_query.select,
}
