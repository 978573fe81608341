"""A suite on this machine becomes one that the server can read: paths become uploaded files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from modiste.client import Client
from modiste.errors import InvalidInput, NotFound


def suite_in(path: Path) -> dict[str, Any]:
    """The suite as it is written. What it says is checked by the server, all of it at once.

    Raises:
        NotFound: no such file.
        InvalidInput: not YAML, or not fields.
    """
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotFound(f"There is no suite {path}.", param="suite") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} is no YAML: {error}", param="suite") from None
    if not isinstance(value, dict):
        raise InvalidInput(f"{path} holds {type(value).__name__}, expected fields", param="suite")
    if isinstance(value.get("dataset"), str):
        value["dataset"] = {"path": value["dataset"]}
    return value


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
            ids[path] = str(client.upload(path, purpose="evals")["id"])
        del place["path"]
        place["file_id"] = ids[path]
    return spec


def _places(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """Every part of a suite that names a file."""
    found = [spec.get("dataset")]
    models = spec.get("models")
    if isinstance(models, dict):
        found += [m.get("shots") for m in models.values() if isinstance(m, dict)]
    return [place for place in found if isinstance(place, dict)]


def _path(place: dict[str, Any], folder: Path) -> Path:
    return (folder / Path(place["path"]).expanduser()).resolve()
