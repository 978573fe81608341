"""Transactions, and what a broken database says."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from modiste import settings as settings_module
from modiste.errors import Corrupt, InvalidInput, StorageFull, Unavailable
from modiste.settings import Settings
from modiste.store.database import Database
from modiste.store.tables import FactRow


def facts(database: Database) -> dict[str, str]:
    with database.transaction(write=False) as tx:
        return {row.name: row.value for row in tx.session.scalars(sa.select(FactRow))}


def write(database: Database, name: str, value: str) -> None:
    with database.transaction() as tx:
        tx.session.add(FactRow(name=name, value=value))


def test_what_a_transaction_wrote_is_there_after_it(database: Database) -> None:
    write(database, "a", "1")
    assert facts(database) == {"a": "1"}


def test_a_transaction_that_raises_wrote_nothing(database: Database) -> None:
    def write_and_fail() -> None:
        with database.transaction() as tx:
            tx.session.add(FactRow(name="a", value="1"))
            tx.session.flush()
            raise LookupError

    with pytest.raises(LookupError):
        write_and_fail()
    assert facts(database) == {}


def test_a_reading_transaction_never_writes(database: Database) -> None:
    with database.transaction(write=False) as tx:
        tx.session.add(FactRow(name="a", value="1"))
        tx.session.flush()
    assert facts(database) == {}


def test_the_time_of_a_transaction_stands_still_and_is_utc(database: Database) -> None:
    with database.transaction() as tx:
        assert tx.now() is not None
        assert tx.now() == tx.now()
        assert tx.now().utcoffset() == datetime.now(UTC).utcoffset()
        assert abs((tx.now() - datetime.now(UTC)).total_seconds()) < 60


def test_a_locked_database_says_so_and_when_to_come_back(tmp_path: Path) -> None:
    settings = settings_module.load({"home": tmp_path}, environment={})
    database = Database(settings, lock_timeout_s=0.1)
    database.migrate()
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with database.transaction() as tx:
            tx.session.add(FactRow(name="a", value="1"))
            tx.session.flush()
            entered.set()
            leave.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    entered.wait()
    try:
        with pytest.raises(Unavailable, match=r"locked by another process.*Try again") as told:
            write(database, "b", "2")
        assert told.value.retry_after_s == 1.0
        assert facts(database) == {}, "readers are never kept waiting"
    finally:
        leave.set()
        holder.join()
    assert facts(database) == {"a": "1"}
    database.close()


def test_a_full_disk_is_said_and_nothing_is_half_written(tmp_path: Path) -> None:
    settings = settings_module.load({"home": tmp_path}, environment={})
    database = Database(settings)
    database.migrate()
    with database.transaction(write=False) as tx:
        pages = tx.session.execute(sa.text("PRAGMA page_count")).scalar_one()

    def fill() -> None:
        with database.transaction() as tx:
            # SQLite's own limit gives the error of a full disk, without filling one.
            tx.session.execute(sa.text(f"PRAGMA max_page_count = {pages + 2}"))
            tx.session.add(FactRow(name="small", value="1"))
            tx.session.add(FactRow(name="big", value="x" * 1_000_000))

    with pytest.raises(StorageFull, match="Free space"):
        fill()
    database.close()
    again = Database(settings)
    assert facts(again) == {}
    again.close()


def test_a_damaged_database_file_says_what_to_do(tmp_path: Path) -> None:
    settings = settings_module.load({"home": tmp_path}, environment={})
    (tmp_path / "modiste.db").write_bytes(b"not a database at all" * 1000)
    with pytest.raises(Corrupt, match="restore a backup"):
        Database(settings).migrate()


def test_an_unreachable_server_says_which_setting_to_look_at(tmp_path: Path) -> None:
    pytest.importorskip("psycopg", reason="pip install 'modiste[postgres]'")
    url = f"postgresql://modiste:secret@/none?host={tmp_path}"
    settings = settings_module.load({"home": tmp_path, "database_url": url}, environment={})
    with pytest.raises(Unavailable, match="MODISTE_DATABASE_URL") as told:
        Database(settings).migrate()
    assert "secret" not in str(told.value)


@pytest.mark.parametrize("text", ["half a pair \ud800", "nul \x00"])
def test_text_that_cannot_be_stored_is_the_senders_mistake(database: Database, text: str) -> None:
    if database.dialect == "sqlite" and "nul" in text:
        write(database, "a", text)  # SQLite holds it.
        assert facts(database) == {"a": text}
        return
    with pytest.raises(InvalidInput, match="cannot be stored"):
        write(database, "a", text)


def test_the_database_file_is_private(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir(mode=0o755)
    settings = settings_module.load({"home": tmp_path / "home"}, environment={})
    database = Database(settings)
    database.migrate()
    assert {p.stat().st_mode & 0o077 for p in settings.home.iterdir() if p.is_file()} == {0}
    database.close()


def test_only_one_is_alone_with_something(database: Database) -> None:
    order: list[str] = []
    inside = threading.Event()

    def second() -> None:
        inside.wait()
        with database.transaction() as tx:
            tx.alone("something")
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with database.transaction() as tx:
        tx.alone("something")
        inside.set()
        thread.join(0.5)  # It waits for us; with a broken lock it would come first.
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_home_is_private_to_its_user(settings: Settings, database: Database) -> None:
    assert settings.home.stat().st_mode & 0o077 == 0
