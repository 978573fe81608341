"""Files of rows on the Hugging Face hub: `hf://datasets/org/name[@revision][/path]`.

The path is a file, a folder or a pattern; without one, every file of rows of the data set is read.
Only files are fetched: no script of a data set is ever run. `HF_TOKEN`, `HF_ENDPOINT` and
`HF_HUB_OFFLINE` hold as everywhere.
"""

from __future__ import annotations

import re
from pathlib import Path

from modiste.errors import InvalidInput, StorageFull, Unavailable
from modiste.prepare.sources.containers import SUFFIXES
from modiste.prepare.sources.names import choose

_ADDRESS = re.compile(
    r"hf://(?:datasets/)?(?P<name>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)"
    r"(?:@(?P<revision>[^/]+))?(?:/(?P<path>.*))?",
    re.ASCII,
)


def fetch(address: str) -> list[tuple[Path, str]]:
    """Every file behind the address as a local copy in the hub's own cache, with its address.

    Raises:
        InvalidInput: no such data set or file, or access is not granted.
        Unavailable: huggingface_hub is not installed, or the hub does not answer.
        StorageFull: no room for the files.
    """
    asked = _ADDRESS.fullmatch(address)
    if asked is None:
        raise InvalidInput(f"{address} is not of the form hf://datasets/org/name[@revision][/path]")
    try:
        from huggingface_hub import errors
    except ImportError:
        raise Unavailable(
            f"{address} needs the package huggingface_hub: pip install 'modiste[data]'"
        ) from None
    try:
        return _fetched(asked["name"], asked["revision"], asked["path"] or "", address)
    except errors.LocalEntryNotFoundError as error:
        raise _offline(address, error) from error
    except (
        errors.RepositoryNotFoundError,
        errors.GatedRepoError,
        errors.RevisionNotFoundError,
        errors.EntryNotFoundError,
    ) as error:
        raise InvalidInput(
            f"{address} cannot be fetched: {_brief(error)} Check the name; for a gated data set "
            "accept its terms on huggingface.co and set HF_TOKEN"
        ) from error
    except OSError as error:
        if error.errno == 28:
            raise StorageFull(f"no space left for {address}") from error
        raise _offline(address, error) from error
    except getattr(errors, "HTTPError", OSError) as error:  # of the HTTP client the hub is built on
        raise _offline(address, error) from error


def _fetched(name: str, revision: str | None, path: str, address: str) -> list[tuple[Path, str]]:
    import huggingface_hub

    hub = huggingface_hub.HfApi()
    files = hub.list_repo_files(name, repo_type="dataset", revision=revision)
    chosen = choose(files, path)
    if not chosen:
        known = ", ".join(sorted(SUFFIXES)[:8])
        raise InvalidInput(f"there is no file of rows at {address} (known: {known}, …)")
    at = f"@{revision}" if revision else ""
    return [
        (
            Path(hub.hf_hub_download(name, file, repo_type="dataset", revision=revision)),
            f"hf://datasets/{name}{at}/{file}",
        )
        for file in chosen
    ]


def _offline(address: str, error: Exception) -> Unavailable:
    return Unavailable(
        f"the hub does not answer for {address}: {_brief(error)} Check the network (HF_ENDPOINT, "
        "HF_HUB_OFFLINE, proxies), or copy the files here"
    )


def _brief(error: Exception) -> str:
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return line if line.endswith(".") else line + "."
