"""Uploads: checked on the way in, the same file once, gone when deleted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from modiste.actions import files
from modiste.errors import Corrupt, Forbidden, InvalidInput, NotFound, TooLarge
from modiste.settings import Settings
from modiste.store.database import Database
from modiste.store.tables import FileRow
from modiste.types import Actor, File, Purpose

Upload = Callable[..., File]
CHAT = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}


def names(database: Database, actor: Actor, **filters: Any) -> list[str]:
    with database.transaction(write=False) as tx:
        return [file.filename for file in files.list_(tx, actor, **filters).items]


def blobs_on_disk(settings: Settings) -> list[Path]:
    return [path for path in (settings.home / "blobs").rglob("*") if path.is_file()]


def age(database: Database, file: File, **columns: Any) -> None:
    with database.transaction() as tx:
        row = tx.session.query(FileRow).filter_by(id=file.id).one()
        for name, value in columns.items():
            setattr(row, name, value)


def test_an_upload_is_described_and_read_back(
    database: Database, admin: Actor, upload: Upload
) -> None:
    file = upload(CHAT, b"", CHAT, filename="train.jsonl")
    assert (file.filename, file.purpose, file.source) == (
        "train.jsonl",
        Purpose.FINE_TUNE,
        "upload",
    )
    assert (file.n_lines, file.sample_type, file.mimetype) == (2, "instruct", "application/jsonl")
    with database.transaction(write=False) as tx:
        assert files.get(tx, admin, file.id) == file
        content = files.open_content(tx, admin, file.id)
    assert len(b"".join(content.chunks)) == file.size_bytes


def test_text_rows_make_a_pretraining_file(upload: Upload) -> None:
    assert upload({"text": "Once upon a time."}).sample_type == "pretrain"


def test_malformed_lines_are_all_named_and_nothing_is_stored(
    database: Database, settings: Settings, admin: Actor, upload: Upload
) -> None:
    with pytest.raises(InvalidInput, match=r"Invalid file format.*nothing was stored") as told:
        upload(CHAT, b"{", CHAT, b"nonsense", b"\xff\xfe", filename="bad.jsonl")
    assert [problem.line for problem in told.value.problems] == [2, 4, 5]
    assert names(database, admin) == []
    assert blobs_on_disk(settings) == []


def test_an_empty_training_file_is_refused(database: Database, admin: Actor) -> None:
    with pytest.raises(InvalidInput, match="no rows"):
        files.add(database, admin, filename="a.jsonl", chunks=[])


def test_a_file_over_the_limit_is_refused(
    database: Database, admin: Actor, settings: Settings
) -> None:
    database.settings = settings.model_copy(update={"max_upload_bytes": 10})
    with pytest.raises(TooLarge, match="10 bytes"):
        files.add(database, admin, filename="a.jsonl", chunks=[b"x" * 6, b"x" * 6])


def test_the_same_content_under_the_same_name_is_the_same_file(upload: Upload) -> None:
    first = upload(CHAT, filename="a.jsonl")
    assert upload(CHAT, filename="a.jsonl").id == first.id
    assert upload(CHAT, filename="b.jsonl").id != first.id
    assert upload(CHAT, CHAT, filename="a.jsonl").id != first.id
    assert upload(CHAT, filename="a.jsonl", purpose="evals").id != first.id


def test_of_two_expiries_of_one_file_the_longer_life_wins(upload: Upload) -> None:
    hour = upload(CHAT, expires_in_s=3600)
    day = upload(CHAT, expires_in_s=86400)
    assert hour.expires_at is not None
    assert day.expires_at is not None
    assert day.expires_at > hour.expires_at
    assert upload(CHAT, expires_in_s=60).expires_at == day.expires_at
    assert upload(CHAT).expires_at is None
    assert upload(CHAT, expires_in_s=60).expires_at is None


def test_an_expired_file_is_gone_and_can_be_sent_again(
    database: Database, admin: Actor, upload: Upload
) -> None:
    old = upload(CHAT, expires_in_s=3600)
    age(database, old, expires_at=old.created_at - timedelta(seconds=1))
    assert names(database, admin) == []
    with pytest.raises(NotFound, match="has expired"), database.transaction() as tx:
        files.get(tx, admin, old.id)
    assert upload(CHAT).id != old.id


def test_a_deleted_file_is_gone_and_can_be_sent_again(
    database: Database, admin: Actor, upload: Upload
) -> None:
    old = upload(CHAT)
    with database.transaction() as tx:
        assert files.delete(tx, admin, old.id).deleted
    assert names(database, admin) == []
    with pytest.raises(NotFound), database.transaction() as tx:
        files.delete(tx, admin, old.id)
    assert upload(CHAT).id != old.id


def test_lists_filter_by_everything(database: Database, admin: Actor, upload: Upload) -> None:
    upload(CHAT, filename="chat.jsonl")
    upload({"text": "x"}, filename="100%_text.jsonl")
    upload({"custom_id": "0"}, filename="batch.jsonl", purpose="batch")
    upload(b"%PDF", filename="scan.pdf", purpose="ocr")
    assert names(database, admin, sample_type=["pretrain", "batch_request"]) == [
        "batch.jsonl",
        "100%_text.jsonl",
    ]
    assert names(database, admin, search="CHAT") == ["chat.jsonl"]
    assert names(database, admin, search="%_t") == ["100%_text.jsonl"]
    assert names(database, admin, purpose="ocr") == ["scan.pdf"]
    assert names(database, admin, purpose="nonsense") == []
    assert names(database, admin, mimetypes=["application/pdf"]) == ["scan.pdf"]
    assert names(database, admin, source=["repository"]) == []
    assert len(names(database, admin, source=["upload", "mistral"])) == 4


def test_a_private_file_is_seen_by_its_key_and_by_admins(
    database: Database, admin: Actor, other: Actor, upload: Upload
) -> None:
    mine = upload(CHAT, actor=admin, visibility="user", filename="mine")
    theirs = upload(CHAT, actor=other, visibility="user", filename="theirs")
    assert (mine.visibility, theirs.visibility) == ("user", "user")
    assert names(database, other) == ["theirs"]
    assert sorted(names(database, admin)) == ["mine", "theirs"]
    with pytest.raises(NotFound), database.transaction() as tx:
        files.open_content(tx, other, mine.id)
    assert upload(CHAT, actor=other, filename="mine").id != mine.id


def test_a_signed_link_opens_its_file_without_a_key_until_it_expires(
    database: Database, admin: Actor, upload: Upload
) -> None:
    file = upload(CHAT)
    with database.transaction(write=False) as tx:
        token = files.signed_path(tx, admin, file.id, expiry_hours=1)
        content = files.verify_signed(tx, token)
    assert (content.file.id, len(b"".join(content.chunks))) == (file.id, file.size_bytes)
    for altered in (token[:-2], token.replace(".", ""), "", "a.b", "ü"):
        with pytest.raises(Forbidden), database.transaction(write=False) as tx:
            files.verify_signed(tx, altered)
    with database.transaction() as tx:
        files.delete(tx, admin, file.id)
    with pytest.raises(NotFound), database.transaction(write=False) as tx:
        files.verify_signed(tx, token)


@pytest.mark.parametrize("hours", [0, -1, 10_000, float("nan")])
def test_a_link_lives_between_now_and_a_week(
    database: Database, admin: Actor, upload: Upload, hours: float
) -> None:
    file = upload(CHAT)
    with pytest.raises(InvalidInput, match="expiry"), database.transaction() as tx:
        files.signed_path(tx, admin, file.id, expiry_hours=hours)


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "a/b.jsonl", "C:\\x", "x" * 500, "naïve 文件.jsonl", "upload"]
)
def test_names_are_kept_as_sent_and_never_become_paths(
    settings: Settings, upload: Upload, name: str
) -> None:
    assert upload(CHAT, filename=name).filename == name
    assert {len(path.name) for path in blobs_on_disk(settings)} == {64}


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"filename": ""}, "file"),
        ({"filename": "x" * 501}, "file"),
        ({"filename": "a\x00b"}, "file"),
        ({"purpose": "fun"}, "purpose"),
        ({"expires_in_s": 0}, "expiry"),
        ({"visibility": "world"}, "visibility"),
    ],
)
def test_wrong_options_are_refused_before_a_byte_is_read(
    database: Database, admin: Actor, options: dict[str, Any], param: str
) -> None:
    def chunks() -> Any:
        pytest.fail("read")
        yield b""

    with pytest.raises(InvalidInput) as told:
        files.add(database, admin, **({"filename": "a", "chunks": chunks()} | options))
    assert told.value.param == param


def test_damaged_bytes_are_not_served(
    database: Database, settings: Settings, admin: Actor, upload: Upload
) -> None:
    file = upload(CHAT)
    settings.home.joinpath("blobs", file.sha256[:2], file.sha256).write_bytes(b"something else")
    with database.transaction(write=False) as tx:
        content = files.open_content(tx, admin, file.id)
    with pytest.raises(Corrupt):
        list(content.chunks)


def test_files_need_the_scope_data(database: Database, admin: Actor) -> None:
    stranger = Actor("key", admin.org, frozenset())
    with pytest.raises(Forbidden, match="data"):
        files.add(database, stranger, filename="a", chunks=[b"{}"])
    with pytest.raises(Forbidden), database.transaction() as tx:
        files.list_(tx, stranger)
