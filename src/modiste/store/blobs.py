"""Content-addressed bytes: a blob's name is the sha256 of what is in it.

An upload goes to a file in `scratch` while it is hashed, never into memory, and becomes visible
under its hash in one step; a half-written blob is never seen. Whoever reads a blob gets the bytes
that were stored or Corrupt, never other bytes. Names given by users never become paths.

Local folders by default; S3, Google Cloud Storage and Azure by URL, through obstore.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlparse

import obstore

from modiste.errors import Corrupt, StorageFull, TooLarge, Unavailable
from modiste.types import Adapter

CHUNK_BYTES = 1 << 20


class Stored(NamedTuple):
    sha256: str
    size_bytes: int


class Upload(NamedTuple):
    """Bytes that arrived and were hashed, but are not kept yet."""

    path: Path
    sha256: str
    size_bytes: int


class Blobs:
    """One store of blobs.

    Args:
        url: `file:///folder`, `s3://bucket/prefix`, `gs://…` or `az://…`.
        scratch: local folder for bytes on their way in.
    """

    def __init__(self, url: str, *, scratch: Path) -> None:
        self.url = url
        self.scratch = scratch
        parsed = urlparse(url)
        self.folder = Path(unquote(parsed.path)) if parsed.scheme == "file" else None
        self._store: Any = None

    @property
    def store(self) -> Any:
        """Opened at first use: making a Blobs touches nothing."""
        if self._store is None:
            if self.folder is not None:
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._store = obstore.store.from_url(self.url)
        return self._store

    @contextmanager
    def receive(self, chunks: Iterable[bytes], *, max_bytes: int) -> Iterator[Upload]:
        """Bytes into a scratch file that is gone after the block; `keep` makes them a blob.

        Raises:
            TooLarge: more than `max_bytes` came.
            StorageFull: the disk of `scratch` has no room.
        """
        path = self.scratch / uuid.uuid4().hex
        try:
            with _no_room(self.scratch):
                yield _write_hashed(path, chunks, max_bytes)
        finally:
            with suppress(OSError):
                path.unlink()

    def keep(self, upload: Upload) -> Stored:
        """Make received bytes a blob; keeping the same bytes again changes nothing."""
        with _no_room(self.folder or self.url), _store_errors(self.url):
            if self.folder is not None:
                _rename_into(self.folder, upload)
            else:
                obstore.put(self.store, _key(upload.sha256), upload.path)
        return Stored(upload.sha256, upload.size_bytes)

    def put_stream(self, chunks: Iterable[bytes], *, max_bytes: int) -> Stored:
        with self.receive(chunks, max_bytes=max_bytes) as upload:
            return self.keep(upload)

    def put_bytes(self, content: bytes) -> Stored:
        return self.put_stream([content], max_bytes=len(content))

    def put_file(self, path: Path) -> Stored:
        return self.put_stream(chunks_of(path), max_bytes=2**63)

    def exists(self, sha256: str) -> bool:
        try:
            with _store_errors(self.url):
                obstore.head(self.store, _key(sha256))
        except FileNotFoundError:
            return False
        return True

    def open(self, sha256: str) -> Iterator[bytes]:
        """The blob in chunks. The last chunk is handed out only after the hash was right.

        Raises:
            Corrupt: at once if the blob is gone, before the last chunk if its bytes changed.
        """
        with _missing_is_corrupt(sha256), _store_errors(self.url):
            reply = obstore.get(self.store, _key(sha256))
        return self._verified(sha256, reply.stream(min_chunk_size=CHUNK_BYTES))

    def _verified(self, sha256: str, chunks: Iterable[bytes]) -> Iterator[bytes]:
        digest, held = hashlib.sha256(), b""
        with _store_errors(self.url):
            for chunk in chunks:
                if held:
                    yield held
                held = bytes(chunk)
                digest.update(held)
        if digest.hexdigest() != sha256:
            raise _corrupt(sha256, f"its content now hashes to {digest.hexdigest()[:12]}…")
        if held:
            yield held

    def read_range(self, sha256: str, *, start: int, length: int) -> bytes:
        """`length` bytes from `start`, unverified: a hash covers only the whole."""
        with _missing_is_corrupt(sha256), _store_errors(self.url):
            return bytes(obstore.get_range(self.store, _key(sha256), start=start, length=length))

    def local(self, sha256: str, cache_dir: Path) -> Path:
        """A local file with exactly these bytes, checked now.

        The blob itself where blobs are local files, a copy in `cache_dir` otherwise.
        """
        path = self.folder / _key(sha256) if self.folder else cache_dir / sha256
        if self.folder is None and not path.exists():
            _write_file(path, self.open(sha256))
        with _missing_is_corrupt(sha256), _store_errors(self.url):
            actual = hash_file(path)
        if actual != sha256:
            raise _corrupt(sha256, f"{path} now hashes to {actual[:12]}…")
        return path

    @contextmanager
    def beginning(self, path: Path, *, max_bytes: int) -> Iterator[Path]:
        """A scratch file with whole lines from the beginning of `path`, gone after the block."""
        with path.open("rb") as stream:
            text = stream.read(max_bytes)
        text = text[: text.rfind(b"\n") + 1] or text
        with self.receive([text], max_bytes=max_bytes) as part:
            yield part.path

    def materialise(self, adapter: Adapter, cache_dir: Path) -> Path:
        """A folder holding an adapter's files; made once per version, then only looked up."""
        folder = cache_dir / adapter.version
        if folder.is_dir():
            return folder
        building = cache_dir / f".{adapter.version}-{uuid.uuid4().hex[:8]}"
        try:
            with _no_room(cache_dir):
                for name, sha256 in adapter.files.items():
                    _write_file(building / Path(name).name, self.open(sha256))
                _rename_folder(building, folder)
        finally:
            shutil.rmtree(building, ignore_errors=True)
        return folder

    def sweep(self, in_use: set[str], *, older_than: timedelta) -> int:
        """Delete blobs that nothing refers to; young ones are spared, their row may be coming."""
        limit, gone = datetime.now(UTC) - older_than, 0
        with _store_errors(self.url):
            for batch in obstore.list(self.store):
                for blob in batch:
                    sha256 = Path(blob["path"]).name
                    if sha256 not in in_use and blob["last_modified"] < limit:
                        obstore.delete(self.store, blob["path"])
                        gone += 1
        return gone


def adapter_of(files: dict[str, str]) -> Adapter:
    """An adapter from file name → sha256; its version changes when any byte does."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{files[name]}\n".encode())
    return Adapter(files=dict(sorted(files.items())), version=digest.hexdigest()[:24])


def sweep_folder(folder: Path, *, keep: set[str], older_than: timedelta) -> None:
    """Delete entries of a cache that are neither wanted nor young."""
    limit = (datetime.now(UTC) - older_than).timestamp()
    for path in folder.iterdir() if folder.is_dir() else ():
        with suppress(OSError):  # Somebody else sweeps, too.
            if path.name not in keep and path.stat().st_mtime < limit:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def hash_file(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _key(sha256: str) -> str:
    return f"{sha256[:2]}/{sha256}"


def _write_hashed(path: Path, chunks: Iterable[bytes], max_bytes: int) -> Upload:
    digest, size = hashlib.sha256(), 0
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.open("xb") as out:
        for chunk in chunks:
            size += len(chunk)
            if size > max_bytes:
                raise TooLarge(
                    f"The file is larger than {max_bytes:,} bytes, the limit of this server. "
                    "Split it, or raise MODISTE_MAX_UPLOAD_BYTES.",
                    param="file",
                )
            digest.update(chunk)
            out.write(chunk)
        out.flush()
        os.fsync(out.fileno())
    return Upload(path, digest.hexdigest(), size)


def _rename_into(folder: Path, upload: Upload) -> None:
    """Rename where scratch and blobs share a disk, copy beside and rename where they do not."""
    target = folder / _key(upload.sha256)
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        os.replace(upload.path, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        beside = target.with_name(f".{uuid.uuid4().hex}")
        try:
            _write_file(beside, chunks_of(upload.path))
            os.replace(beside, target)
        finally:
            beside.unlink(missing_ok=True)
    _sync_folder(target.parent)


def _write_file(path: Path, chunks: Iterable[bytes]) -> None:
    """Whole or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}-{uuid.uuid4().hex[:8]}")
    try:
        with _no_room(path.parent):
            with partial.open("xb") as out:
                for chunk in chunks:
                    out.write(chunk)
                out.flush()
                os.fsync(out.fileno())
            os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _rename_folder(building: Path, folder: Path) -> None:
    try:
        building.rename(folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise  # Otherwise another process made the same folder first: use that one.


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def chunks_of(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            yield chunk


@contextmanager
def _no_room(place: Path | str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise StorageFull(
            f"No space left under {place}. Nothing was stored; free some space, or point "
            "MODISTE_HOME or MODISTE_BLOB_URL at a larger disk, and try again."
        ) from error


@contextmanager
def _store_errors(url: str) -> Iterator[None]:
    """obstore's own errors; plain OSErrors of local folders pass through."""
    try:
        yield
    except obstore.exceptions.BaseError as error:
        if isinstance(error, FileNotFoundError):
            raise
        if "os error 28" in str(error) or "os error 122" in str(error):
            raise StorageFull(f"No space left in {url}. Free some space and try again.") from error
        first_line = str(error).strip().splitlines()[0]
        raise Unavailable(
            f"The blob store {url} does not answer as expected: {first_line}. Check "
            "MODISTE_BLOB_URL, its credentials and the network.",
            retry_after_s=5.0,
        ) from error


@contextmanager
def _missing_is_corrupt(sha256: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise _corrupt(sha256, "it is gone from the blob store") from error
    except (PermissionError, IsADirectoryError) as error:
        raise _corrupt(sha256, f"it cannot be read ({error})") from error


def _corrupt(sha256: str, what: str) -> Corrupt:
    return Corrupt(
        f"Blob {sha256[:12]}… is damaged: {what}. Upload the file again (or restore the blob "
        "from a backup) and repeat what you were doing."
    )
