"""What Alembic runs: over the connection that `upgrade` hands in, inside its transaction."""

from __future__ import annotations

from alembic import context

from modiste.store.data_tables import DatasetRow

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=DatasetRow.metadata,
    transactional_ddl=True,
    render_as_batch=connection.dialect.name == "sqlite",
)
context.run_migrations()
