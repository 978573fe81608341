"""Files of rows in an object store, by URL: `s3://bucket/path`, `gs://`, `az://`, `file:///`.

Credentials and endpoints come from the environment as each vendor names them (`AWS_ACCESS_KEY_ID`,
`AWS_ENDPOINT_URL`, …). A file is fetched once for each version of it: its name in the cache has its
tag in it, and it appears there whole or not at all.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from modiste.errors import InvalidInput, ModisteError, StorageFull, Unavailable
from modiste.prepare.sources.names import choose

SCHEMES = ("s3", "gs", "gcs", "az", "azure", "abfs", "abfss", "file")


def fetch(url: str, *, into: Path) -> list[tuple[Path, str]]:
    """Every file of rows behind a URL as a local copy, with its own URL.

    Raises:
        InvalidInput: nothing is there, or access is not granted.
        Unavailable: the store does not answer.
        StorageFull: no room in `into`.
    """
    from obstore import exceptions

    parts = urlsplit(url)
    root = f"{parts.scheme}://{parts.netloc}"
    wanted = unquote(parts.path).strip("/")
    try:
        return [
            (_fetched(store, name, f"{root}/{name}", tag, into), f"{root}/{name}")
            for store, name, tag in _chosen(root, wanted, url)
        ]
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
        hint = "set the credentials of the store in the environment (AWS_ACCESS_KEY_ID, …)"
        raise InvalidInput(f"{url} may not be read: {_brief(error)}; {hint}") from error
    except exceptions.BaseError as error:
        hint = "check credentials, region and endpoint (AWS_ACCESS_KEY_ID, AWS_REGION, …)"
        raise _unreachable(url, error, hint) from error
    except OSError as error:
        if error.errno != 28:
            raise _unreachable(url, error, "run the same command again") from error
        raise StorageFull(f"no space left under {into} for {url}") from error


def _unreachable(url: str, error: Exception, hint: str) -> ModisteError:
    return Unavailable(f"{url} cannot be read: {_brief(error)}; {hint}")


def _chosen(root: str, wanted: str, url: str) -> Iterator[tuple[Any, str, str]]:
    import obstore

    store = obstore.store.from_url(root if not root.startswith("file:") else "file:///")
    tags = {
        str(each["path"]): f"{each['e_tag']} {each['size']} {each['last_modified']}"
        for page in obstore.list(store, prefix=_listed(wanted) or None)
        for each in page
    }
    if wanted and wanted not in tags:
        try:
            each = obstore.head(store, wanted)
            tags[wanted] = f"{each['e_tag']} {each['size']} {each['last_modified']}"
        except FileNotFoundError:
            pass
    names = choose(tags, wanted)
    if not names:
        raise InvalidInput(f"there is no file of rows at {url}")
    for name in names:
        yield store, name, tags[name]


def _listed(wanted: str) -> str:
    """The folder that has to be listed: what stands before the first sign of a pattern."""
    plain = wanted
    for sign in "*?[":
        plain = plain.partition(sign)[0]
    return plain if plain == wanted else plain.rpartition("/")[0]


def _fetched(store: Any, name: str, url: str, tag: str, into: Path) -> Path:
    import obstore

    version = hashlib.sha256(f"{url} {tag}".encode()).hexdigest()[:16]
    target = into / version / PurePosixPath(name).name
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            for chunk in obstore.get(store, name).stream(min_chunk_size=1 << 20):
                file.write(chunk)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return target


def _brief(error: Exception) -> str:
    said = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return said[:200].rstrip(".")
