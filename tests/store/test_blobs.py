"""Bytes by hash: whole or not at all, verified when read, and a full disk that says so."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from modiste.errors import Corrupt, StorageFull, TooLarge
from modiste.store.blobs import Blobs, adapter_of, hash_file, sweep_folder

HELLO = hashlib.sha256(b"hello").hexdigest()


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs((tmp_path / "blobs").as_uri(), scratch=tmp_path / "scratch")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", folder], check=True)


def everything_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def damage(blobs: Blobs, sha256: str, content: bytes) -> None:
    assert blobs.folder is not None
    (blobs.folder / sha256[:2] / sha256).write_bytes(content)


def test_a_blob_is_named_by_its_content(blobs: Blobs) -> None:
    stored = blobs.put_stream([b"he", b"llo"], max_bytes=10)
    assert stored == (HELLO, 5)
    assert b"".join(blobs.open(HELLO)) == b"hello"
    assert blobs.exists(HELLO)
    assert not blobs.exists("0" * 64)
    assert blobs.read_range(HELLO, start=1, length=3) == b"ell"


def test_storing_the_same_bytes_twice_keeps_one_blob(blobs: Blobs, tmp_path: Path) -> None:
    for _ in range(2):
        blobs.put_stream([b"hello"], max_bytes=10)
    assert len(everything_in(tmp_path)) == 1


def test_an_empty_blob_is_a_blob(blobs: Blobs) -> None:
    stored = blobs.put_stream([], max_bytes=0)
    assert list(blobs.open(stored.sha256)) == []


def test_an_upload_that_is_too_large_leaves_nothing(blobs: Blobs, tmp_path: Path) -> None:
    with pytest.raises(TooLarge, match=r"larger than 9 bytes.*MODISTE_MAX_UPLOAD_BYTES"):
        blobs.put_stream([b"12345", b"67890"], max_bytes=9)
    assert everything_in(tmp_path) == []


def test_an_upload_that_breaks_off_leaves_nothing(blobs: Blobs, tmp_path: Path) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"begin"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        blobs.put_stream(chunks(), max_bytes=100)
    assert everything_in(tmp_path) == []


def test_received_bytes_are_no_blob_until_they_are_kept(blobs: Blobs) -> None:
    with blobs.receive([b"hello"], max_bytes=10) as upload:
        assert upload.path.read_bytes() == b"hello"
        assert not blobs.exists(HELLO)
        blobs.keep(upload)
    assert not upload.path.exists()
    assert blobs.exists(HELLO)


def test_a_full_disk_ends_the_upload_and_says_what_to_do(small_disk: Path) -> None:
    blobs = Blobs((small_disk / "blobs").as_uri(), scratch=small_disk / "scratch")
    megabyte = b"x" * (1 << 19)
    with pytest.raises(StorageFull, match="Nothing was stored; free some space"):
        blobs.put_stream([megabyte] * 4, max_bytes=1 << 30)
    assert everything_in(small_disk) == []


def test_a_full_blob_disk_keeps_no_half_blob(small_disk: Path, tmp_path: Path) -> None:
    """Scratch and blobs on different disks: the bytes are copied, and do not fit."""
    blobs = Blobs((small_disk / "blobs").as_uri(), scratch=tmp_path / "scratch")
    with pytest.raises(StorageFull):
        blobs.put_stream([b"x" * (1 << 21)], max_bytes=1 << 30)
    assert everything_in(small_disk) == []
    assert blobs.put_stream([b"hello"], max_bytes=10).sha256 == HELLO


@pytest.mark.parametrize("content", [b"HELLO", b"hell", b"hello!", b""])
def test_changed_bytes_are_never_handed_out_whole(blobs: Blobs, content: bytes) -> None:
    blobs.put_stream([b"hello"], max_bytes=10)
    damage(blobs, HELLO, content)
    with pytest.raises(Corrupt, match="Upload the file again"):
        next(blobs.open(HELLO))


def test_of_changed_bytes_the_end_is_never_handed_out(blobs: Blobs) -> None:
    content = os.urandom(5 << 20)
    sha256 = blobs.put_stream([content], max_bytes=10 << 20).sha256
    damage(blobs, sha256, content[:-1] + b"?")
    got = bytearray()
    with pytest.raises(Corrupt):
        got.extend(byte for chunk in blobs.open(sha256) for byte in chunk)
    assert len(got) < len(content), "who counts bytes sees that some are missing"


def test_a_blob_that_is_gone_is_refused_at_once(blobs: Blobs, tmp_path: Path) -> None:
    with pytest.raises(Corrupt, match="gone from the blob store"):
        blobs.open(HELLO)
    with pytest.raises(Corrupt, match="gone from the blob store"):
        blobs.local(HELLO, tmp_path / "cache")


def test_a_blob_that_cannot_be_read_is_named(blobs: Blobs, tmp_path: Path) -> None:
    blobs.put_stream([b"hello"], max_bytes=10)
    assert blobs.folder is not None
    path = blobs.folder / HELLO[:2] / HELLO
    path.unlink()
    path.mkdir()
    with pytest.raises(Corrupt, match=HELLO[:12]):
        blobs.local(HELLO, tmp_path / "cache")


def test_a_local_copy_is_checked_every_time(blobs: Blobs, tmp_path: Path) -> None:
    blobs.put_stream([b"hello"], max_bytes=10)
    assert blobs.local(HELLO, tmp_path / "cache").read_bytes() == b"hello"
    damage(blobs, HELLO, b"HELLO")
    with pytest.raises(Corrupt):
        blobs.local(HELLO, tmp_path / "cache")


def test_an_adapter_becomes_a_folder_once(blobs: Blobs, tmp_path: Path) -> None:
    names = {"adapter_config.json": b"{}", "adapter_model.safetensors": b"weights"}
    adapter = adapter_of(
        {name: blobs.put_stream([data], max_bytes=100).sha256 for name, data in names.items()}
    )
    folder = blobs.materialise(adapter, tmp_path / "cache")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == names
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert blobs.materialise(adapter, tmp_path / "cache") == folder
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_a_damaged_adapter_never_becomes_a_folder(blobs: Blobs, tmp_path: Path) -> None:
    adapter = adapter_of({"a": blobs.put_stream([b"hello"], max_bytes=10).sha256})
    damage(blobs, HELLO, b"HELLO")
    with pytest.raises(Corrupt):
        blobs.materialise(adapter, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_an_adapters_version_changes_with_any_byte_and_any_name() -> None:
    versions = {
        adapter_of(files).version
        for files in ({"a": "1"}, {"a": "2"}, {"b": "1"}, {"a": "1", "b": "1"})
    }
    assert len(versions) == 4
    assert adapter_of({"a": "1", "b": "2"}) == adapter_of({"b": "2", "a": "1"})


def test_file_names_in_an_adapter_do_not_lead_out_of_its_folder(
    blobs: Blobs, tmp_path: Path
) -> None:
    sha256 = blobs.put_stream([b"hello"], max_bytes=10).sha256
    folder = blobs.materialise(adapter_of({"../../evil": sha256}), tmp_path / "cache")
    assert [path.name for path in folder.iterdir()] == ["evil"]


def test_the_sweep_takes_old_bytes_that_nothing_refers_to(blobs: Blobs) -> None:
    kept, old, young = (
        blobs.put_stream([name.encode()], max_bytes=10).sha256 for name in ("kept", "old", "young")
    )
    assert blobs.folder is not None
    for sha256 in (kept, old):
        os.utime(blobs.folder / sha256[:2] / sha256, (0, 0))
    assert blobs.sweep({kept}, older_than=timedelta(hours=1)) == 1
    assert [blobs.exists(sha256) for sha256 in (kept, old, young)] == [True, False, True]


def test_old_entries_of_a_cache_go_unless_they_are_wanted(tmp_path: Path) -> None:
    for name in ("wanted", "old", "young"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    (tmp_path / "old-file").touch()
    for name in ("wanted", "old", "old-file"):
        os.utime(tmp_path / name, (0, 0))
    sweep_folder(tmp_path, keep={"wanted"}, older_than=timedelta(hours=1))
    assert {path.name for path in tmp_path.iterdir()} == {"wanted", "young"}
    sweep_folder(tmp_path / "nowhere", keep=set(), older_than=timedelta(0))


def test_the_beginning_of_a_file_ends_with_a_whole_line(blobs: Blobs, tmp_path: Path) -> None:
    path = tmp_path / "rows"
    path.write_bytes(b"one\ntwo\nthree\n")
    with blobs.beginning(path, max_bytes=10) as part:
        assert part.read_bytes() == b"one\ntwo\n"
    assert not part.exists()


def test_hashing_a_file_is_hashing_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"hello")
    assert hash_file(tmp_path / "f") == HELLO
