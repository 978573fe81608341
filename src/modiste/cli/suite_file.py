"""A suite on this machine becomes one that the server can read: paths become uploaded files."""

from __future__ import annotations

import hashlib
import json
from datetime import date, datetime
from pathlib import Path
from typing import Any

from modiste.client import Client
from modiste.errors import InvalidInput, NotFound
from modiste.prepare.yaml_file import read_mapping

PURPOSE = "evals"


def suite_in(path: Path) -> dict[str, Any]:
    """The suite as it is written. What it says is checked by the server, all of it at once.

    Raises:
        NotFound: no such file.
        InvalidInput: not YAML, not fields, or values that JSON has no word for.
    """
    if not path.exists():
        raise NotFound(f"There is no suite {path}.", param="suite")
    value = read_mapping(path, expected="the fields of a suite")
    if isinstance(value.get("dataset"), str):
        value["dataset"] = {"path": value["dataset"]}
    _read_sources(value, path.parent)
    try:  # YAML reads 2026-11-30 as a date, which was meant as the text it is.
        told = json.dumps(value, default=_text, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{path}: cannot be sent as JSON: {error}", param="suite") from None
    return dict(json.loads(told))


def _read_sources(spec: dict[str, Any], folder: Path) -> None:
    """A scorer's code travels with the suite: `path` of a python scorer becomes its `source`.

    Raises:
        NotFound: paths that lead nowhere, all of them.
    """
    listed = spec.get("scorers")
    entries = (
        [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    )
    named = [e for e in entries if e.get("kind") == "python" and isinstance(e.get("path"), str)]
    if missing := [entry["path"] for entry in named if not _path(entry, folder).is_file()]:
        raise NotFound(f"There is no file {', '.join(missing)} (looked in {folder}).", param="path")
    for entry in named:
        entry["source"] = _path(entry, folder).read_text(encoding="utf-8")
        del entry["path"]


def sent(client: Client, spec: dict[str, Any], *, folder: Path) -> dict[str, Any]:
    """The suite with every path uploaded; files that lie there already are not sent again.

    Args:
        folder: what paths are relative to.

    Raises:
        NotFound: paths that lead nowhere, all of them.
    """
    places = [place for place in _places(spec) if isinstance(place.get("path"), str)]
    missing = [place["path"] for place in places if not _path(place, folder).is_file()]
    if missing:
        raise NotFound(f"There is no file {', '.join(missing)} (looked in {folder}).", param="path")
    ids: dict[Path, str] = {}
    for place in places:
        path = _path(place, folder)
        if path not in ids:
            ids[path] = _there(client, path) or str(client.upload(path, purpose=PURPOSE)["id"])
        del place["path"]
        place["file_id"] = ids[path]
    return spec


def _there(client: Client, path: Path) -> str | None:
    """The id of the same file where it was uploaded before."""
    with path.open("rb") as content:
        signature = hashlib.file_digest(content, "sha256").hexdigest()[:16]
    told = {"filename": path.name, "bytes": path.stat().st_size, "signature": signature}
    listed = client.get("/v1/files", purpose=PURPOSE, search=path.name, page_size=1000)["data"]
    same = (file for file in listed if all(file[name] == told[name] for name in told))
    return next((str(file["id"]) for file in same), None)


def _places(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """Every part of a suite that names a file."""
    found = [spec.get("dataset")]
    models = spec.get("models")
    if isinstance(models, dict):
        found += [m.get("shots") for m in models.values() if isinstance(m, dict)]
    return [place for place in found if isinstance(place, dict)]


def _text(value: Any) -> str:
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    raise TypeError(f"{value!r} is a {type(value).__name__}")


def _path(place: dict[str, Any], folder: Path) -> Path:
    return (folder / Path(place["path"]).expanduser()).resolve()
