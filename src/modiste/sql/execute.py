"""SQL in, results out: the one way that all wires take.

The whole text is read before its first statement runs, so a text with a slip in it does nothing.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any

from modiste.errors import ModisteError
from modiste.sql import (
    computed,
    do_evals,
    do_jobs,
    do_models,
    do_promotions,
    do_show,
    do_sources,
    do_tables,
    errors,
    grammar,
    lexer,
    plan,
)
from modiste.sql.result import Column, Done, Result
from modiste.sql.session import Session
from modiste.sql.statements import (
    AlterDatabase,
    CancelFinetune,
    Compare,
    CreateDatabase,
    CreateEngine,
    CreateJob,
    CreateModel,
    CreateTable,
    CreateView,
    Describe,
    DropDatabase,
    DropEngine,
    DropJob,
    DropModel,
    DropTable,
    DropView,
    Evaluate,
    Finetune,
    Insert,
    Promote,
    Retrain,
    Select,
    SetActive,
    SetVariables,
    Show,
    Statement,
    Transaction,
    Use,
)


async def execute(
    text: str, session: Session, parameters: Sequence[object] = ()
) -> AsyncGenerator[Result, None]:
    """One result per statement, in order.

    Raises:
        SqlError: ends it; what earlier statements did stays done.
    """
    for said in grammar.statements(text, session.dialect, parameters):
        if not isinstance(said, Show):
            session.notes.clear()
        try:
            result = await done(said, session)
        except ModisteError as error:
            raise errors.translated(error) from error
        yield result


async def describe(text: str, session: Session) -> tuple[int, tuple[Column, ...] | None]:
    """How many parameters a text takes, and its columns where they are known without running it.

    Raises:
        SqlError: it cannot be read.
    """
    pieces = lexer.pieces(text, session.dialect)
    n = lexer.n_parameters(pieces)
    found = grammar.statements(text, session.dialect, [None] * n)
    if len(found) != 1 or not isinstance(found[0], Select):
        return n, KNOWN.get(type(found[0])) if len(found) == 1 else None
    names = computed.labels_of(found[0])
    return n, None if names is None else tuple(Column(name) for name in names)


async def done(said: Statement, session: Session) -> Result:
    """One statement that was read already. Raises SqlError and other ModisteErrors."""
    return await DO[type(said)](said, session)


async def _set(said: SetVariables, session: Session) -> Done:
    session.variables.update(said.values)
    return Done(said.tag)


async def _transaction(said: Transaction, session: Session) -> Done:
    return Done(said.word)


DO: dict[type[Statement], Callable[[Any, Session], Awaitable[Result]]] = {
    Select: plan.select,
    CreateDatabase: do_sources.create_database,
    AlterDatabase: do_sources.alter_database,
    DropDatabase: do_sources.drop_database,
    Use: do_sources.use,
    CreateView: do_sources.create_view,
    DropView: do_sources.drop_view,
    CreateJob: do_jobs.create_job,
    DropJob: do_jobs.drop_job,
    CreateTable: do_tables.create_table,
    DropTable: do_tables.drop_table,
    Insert: do_tables.insert,
    CreateEngine: do_models.create_engine,
    DropEngine: do_models.drop_engine,
    CreateModel: do_models.create_model,
    DropModel: do_models.drop_model,
    SetActive: do_models.set_active,
    Finetune: do_models.finetune,
    Retrain: do_models.retrain,
    CancelFinetune: do_models.cancel,
    Evaluate: do_evals.evaluate,
    Compare: do_evals.compare,
    Promote: do_promotions.promote,
    Show: do_show.show,
    Describe: do_show.describe,
    SetVariables: _set,
    Transaction: _transaction,
}
KNOWN: dict[type[Statement], tuple[Column, ...]] = {
    Evaluate: do_evals.EVALUATED,
    Compare: do_evals.COMPARED,
    Promote: do_promotions.PROMOTED,
}
"""Columns of statements that answer with rows, and always with the same ones."""
