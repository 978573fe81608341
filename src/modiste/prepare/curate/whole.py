"""Files that are there whole or not at all, whenever a writer is killed."""

from __future__ import annotations

import errno
import fcntl
import glob
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import orjson

from modiste.errors import InvalidInput, StorageFull

CHUNK_BYTES = 1 << 20
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NO_PLACE = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ENAMETOOLONG,
)


def write_json(value: Any, path: Path) -> None:
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS)
    with replacing(path) as stream:
        stream.write(text + b"\n")


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A stream whose content becomes `path` in one step after the block, synced; or not at all.

    Raises:
        StorageFull: there is no room.
        InvalidInput: nothing can be written there.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_left_over(path)
        with temporary.open("wb", buffering=CHUNK_BYTES) as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
            temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        if error.errno in NO_ROOM:
            raise StorageFull(f"{path} cannot be written: {error.strerror}") from error
        if error.errno in NO_PLACE:
            text = f"{path} cannot be written: {error.strerror}; name another output"
            raise InvalidInput(text) from error
        raise
    finally:
        with suppress(OSError):
            temporary.unlink()


def remove_left_over(path: Path) -> None:
    """What a killed writer left. A living one holds the kernel's lock on its file."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        with suppress(OSError), left.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()


def sync_folder(folder: Path) -> None:
    """A rename is on the disk only after its folder is."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def hash_file(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
