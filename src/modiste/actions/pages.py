"""Pages of a list, in both manners: `page`/`page_size` from zero, or `after`/`limit` by cursor."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from modiste.errors import InvalidInput
from modiste.store.database import Tx
from modiste.types import Page

MAX_PAGE = 1000
MAX_PAGES = 1_000_000


def page_of(
    tx: Tx,
    query: sa.Select[Any],
    table: Any,
    *,
    page: int = 0,
    page_size: int = 100,
    after: str | None = None,
    limit: int | None = None,
    order: str = "desc",
) -> Page:
    """One page of `query`, ordered by `table.seq`; `total` counts all of it.

    An `after` that is in no row of this list gives an error, not an endless first page.
    """
    _check(page=page, page_size=page_size, limit=limit, order=order)
    total = tx.session.scalar(sa.select(sa.func.count()).select_from(query.subquery())) or 0
    size = page_size if limit is None else limit
    newest_first = order == "desc"
    if after is not None:
        seq = tx.session.scalar(sa.select(table.seq).where(table.id == after))
        if seq is None:
            raise InvalidInput(
                f"after is {after!r}, which is not an id of this list", param="after"
            )
        query = query.where(table.seq < seq if newest_first else table.seq > seq)
    elif limit is None:
        query = query.offset(page * page_size)
    query = query.order_by(table.seq.desc() if newest_first else table.seq.asc())
    rows = tx.session.scalars(query.limit(size + 1)).all()
    return Page(tuple(row.noun() for row in rows[:size]), total, has_more=len(rows) > size)


def _check(*, page: int, page_size: int, limit: int | None, order: str) -> None:
    problems = []
    if not 0 <= page <= MAX_PAGES:
        problems.append(f"page is {page}, expected 0 to {MAX_PAGES}")
    if not 1 <= page_size <= MAX_PAGE:
        problems.append(f"page_size is {page_size}, expected 1 to {MAX_PAGE}")
    if limit is not None and not 1 <= limit <= MAX_PAGE * 10:
        problems.append(f"limit is {limit}, expected 1 to {MAX_PAGE * 10}")
    if order not in ("asc", "desc"):
        problems.append(f"order is {order!r}, expected asc or desc")
    if problems:
        raise InvalidInput("; ".join(problems), param=problems[0].partition(" ")[0])
