"""What a query's columns will be, told before it runs: no model is asked, no row is kept.

What one source answers whole is asked of it for no rows. Anything else is asked of the local engine
over empty tables of the same columns, a model's being its answer and its inputs.
"""

from __future__ import annotations

from modiste.errors import ModisteError
from modiste.sql import errors, grammar, lexer, plan
from modiste.sql.result import Column
from modiste.sql.session import Session
from modiste.sql.statements import Select

Columns = tuple[Column, ...] | None


async def kinds(text: str, session: Session, columns: Columns) -> Columns:
    """Raises SqlError: names that stand for nothing, or a source that does not answer."""
    pieces = lexer.pieces(text, session.dialect)
    found = grammar.statements(text, session.dialect, [None] * lexer.n_parameters(pieces))
    if len(found) != 1 or not isinstance(found[0], Select):
        return columns
    try:
        told = await plan.shape(found[0], session)
    except ModisteError as error:
        refused = errors.translated(error)
        if refused.sqlstate in ("42P01", "3D000"):
            raise refused from error
        return columns
    fits = columns is None or told is None or len(told) == len(columns)
    return told if fits and told is not None else columns
