"""Migrations: they give the schema of the code, once, whoever starts first, and never go back."""

from __future__ import annotations

import subprocess
import sys

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from modiste.errors import Unavailable
from modiste.settings import Settings
from modiste.store import queue
from modiste.store.batch_tables import BatchRow
from modiste.store.database import Database
from modiste.store.queue import WorkerId
from modiste.store.schema import config
from modiste.store.tables import Base, FactRow, FileRow, JobRow, ModelRow, Phase


def facts(database: Database) -> dict[str, str]:
    with database.transaction(write=False) as tx:
        return {row.name: row.value for row in tx.session.scalars(sa.select(FactRow))}


def write(database: Database, name: str, value: str) -> None:
    with database.transaction() as tx:
        tx.session.add(FactRow(name=name, value=value))


def test_the_migrated_schema_is_the_one_the_code_describes(database: Database) -> None:
    with database.transaction(write=False) as tx:
        context = MigrationContext.configure(tx.session.connection(), opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_migrating_again_changes_nothing(database: Database) -> None:
    write(database, "a", "1")
    database.migrate()
    assert facts(database) == {"a": "1"}


def test_many_processes_may_migrate_an_empty_database_at_once(settings: Settings) -> None:
    code = (
        "from modiste import settings; from modiste.store.database import Database; import sys;"
        "Database(settings.load({'home': sys.argv[1], 'database_url': sys.argv[2] or None}, {}))"
        ".migrate()"
    )
    url = settings.database_url.get_secret_value() if settings.database_url else ""
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(settings.home), url]) for _ in range(4)
    ]
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0, 0]
    database = Database(settings)
    database.migrate()
    assert facts(database) == {}
    database.close()


def test_a_database_of_a_newer_modiste_is_refused_untouched(database: Database) -> None:
    with database.transaction() as tx:
        tx.session.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Unavailable, match=r"9999.*newer Modiste.*data is untouched"):
        database.migrate()


def test_what_an_older_modiste_wrote_is_read_by_this_one(settings: Settings) -> None:
    database = Database(settings)
    with database.transaction() as tx:
        command.upgrade(config(tx.session.connection()), "0001")
        for table, values in OLD_ROWS.items():
            columns, marks = ", ".join(values), ", ".join(f":{name}" for name in values)
            statement = sa.text(f"INSERT INTO {table} ({columns}) VALUES ({marks})")
            tx.session.execute(statement, values)
    database.migrate()
    with database.transaction(write=False) as tx:
        file = tx.session.scalars(sa.select(FileRow)).one().noun()
        job = tx.session.scalars(sa.select(JobRow)).one()
        model = tx.session.scalars(sa.select(ModelRow)).one().noun()
    assert (file.format, file.report_sha256, file.rows_sha256) == (None, None, None)
    assert (job.noun().dataset, job.rows, job.code_version) == (None, None, None)
    assert (model.stale, model.abilities) == (None, None)
    database.close()


def test_what_bases_can_do_is_read_anew_since_chat_formats_are_told(settings: Settings) -> None:
    database = Database(settings)
    with database.transaction() as tx:
        command.upgrade(config(tx.session.connection()), "0008")
        values = OLD_ROWS["models"] | {"abilities": '{"fim": true, "tools": true}'}
        del values["aliases"]  # Moved to a table of their own since.
        columns, marks = ", ".join(values), ", ".join(f":{name}" for name in values)
        statement = sa.text(f"INSERT INTO models ({columns}) VALUES ({marks})")
        tx.session.execute(statement, values)
    database.migrate()
    with database.transaction(write=False) as tx:
        assert tx.session.scalars(sa.select(ModelRow)).one().noun().abilities is None
    database.close()


def test_what_was_there_before_batches_is_there_with_them(settings: Settings) -> None:
    """Data of the revision before: a job that waits is claimed as it was, and no batch is there."""
    database = Database(settings)
    with database.transaction() as tx:
        command.upgrade(config(tx.session.connection()), "0005")
        for table in ("files", "jobs"):
            values = OLD_ROWS[table] | ({"queued_for": "train"} if table == "jobs" else {})
            columns, marks = ", ".join(values), ", ".join(f":{name}" for name in values)
            statement = sa.text(f"INSERT INTO {table} ({columns}) VALUES ({marks})")
            tx.session.execute(statement, values)
    database.migrate()
    worker = WorkerId.of_this_process()
    with database.transaction() as tx:
        claim = queue.claim(tx, worker)
        assert claim is not None
        assert (claim.job_id, claim.phase) == ("j", Phase.TRAIN)
        assert tx.session.scalars(sa.select(BatchRow)).all() == []
        assert queue.claim(tx, worker, {Phase.BATCH}) is None
    database.close()


THEN = "2026-01-02 03:04:05"
OLD_ROWS = {
    "files": {
        **{"id": "f", "org": "0", "owner": "", "filename": "a.jsonl", "purpose": "fine-tune"},
        **{"size_bytes": 1, "sha256": "0", "created_at": THEN, "created_by": "k"},
        **{"sample_type": "instruct", "source": "upload", "problems": "[]"},
    },
    "jobs": {
        **{"id": "j", "org": "0", "created_by": "k", "status": "SUCCESS", "model": "m"},
        **{"base": "m", "training_files": '[["f", 1.0]]', "validation_files": "[]"},
        **{"blobs": '{"f": "0"}', "asked": "{}", "hyperparameters": "{}", "auto_start": True},
        **{"start_requested": True, "integrations": "[]", "job_metadata": "{}", "fence": 1},
        **{"invalid_sample_skip_fraction": 0.0, "signature": "s", "estimate": "{}"},
        **{"skip_lines": "{}", "created_at": THEN, "modified_at": THEN, "queued_at": THEN},
        **{"finished_at": THEN, "attempts": 0, "events_offset": 0, "pause_requested": False},
        **{"paused": False},
    },
    "models": {
        **{"id": "m", "org": "0", "kind": "fine-tuned", "created_at": THEN, "path": "/b"},
        **{"max_context_length": 9, "owned_by": "0", "aliases": "[]", "job_id": "j"},
        **{"archived": False},
    },
}
"""One row of each table that later versions changed, as 0001 knew it."""
