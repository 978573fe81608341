"""What Alembic runs: over the connection that `upgrade` hands in, inside its transaction."""

from __future__ import annotations

from alembic import context

from modiste.store.batch_tables import BatchRow
from modiste.store.data_tables import DatasetRow
from modiste.store.model_tables import AliasRow
from modiste.store.notice_tables import NoticeRow
from modiste.store.policy_tables import PolicyRow
from modiste.store.sql_tables import SqlModelRow

TABLES = (DatasetRow, AliasRow, BatchRow, NoticeRow, PolicyRow, SqlModelRow)
"""One of each file, so that all tables are known; they share one metadata."""

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=TABLES[0].metadata,
    transactional_ddl=True,
    render_as_batch=connection.dialect.name == "sqlite",
)
context.run_migrations()
