"""The hub: only names that are names, only files that cannot run, errors that say what to do."""

from __future__ import annotations

import errno
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import httpx
import pytest

from modiste.actions import hub
from modiste.errors import InvalidInput, StorageFull, Unavailable

huggingface_hub = pytest.importorskip(
    "huggingface_hub", reason="pip install 'modiste[data]' or 'modiste[local]'"
)


def answer(monkeypatch: pytest.MonkeyPatch, result: Exception | None) -> list[dict[str, Any]]:
    """The hub, which no test may reach, answers like this; what it was asked is returned."""
    asked: list[dict[str, Any]] = []

    def snapshot_download(repository: str, **options: Any) -> str:
        asked.append({"repository": repository, **options})
        if result is not None:
            raise result
        return str(options["local_dir"])

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return asked


def test_a_base_is_fetched_into_a_folder_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = answer(monkeypatch, None)
    assert hub.download("org/name", into=tmp_path) == tmp_path / "org--name"
    assert asked[0]["repository"] == "org/name"


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("model-00001-of-00002.safetensors", True),
        ("consolidated.safetensors", True),
        ("tekken.json", True),
        ("tokenizer.model.v3", True),
        ("chat_template.jinja", True),
        ("pytorch_model.bin", False),
        ("consolidated.00.pth", False),
        ("modeling_custom.py", False),
    ],
)
def test_nothing_that_could_run_code_is_fetched(name: str, wanted: bool) -> None:
    assert any(fnmatch(name, pattern) for pattern in hub.WANTED) is wanted


@pytest.mark.parametrize("name", ["", "name", "a/b/c", "../x", "org/na me", "org/"])
def test_a_name_that_is_no_repository_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="hub:org/name"):
        hub.download(name, into=tmp_path)


def test_a_full_disk_is_told_apart_from_a_silent_hub(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answer(monkeypatch, OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(StorageFull, match="continues where it stopped"):
        hub.download("org/name", into=tmp_path)
    answer(monkeypatch, OSError(errno.ENETUNREACH, "Network is unreachable"))
    with pytest.raises(Unavailable, match="Network is unreachable"):
        hub.download("org/name", into=tmp_path)


def test_an_unknown_or_gated_repository_says_how_to_get_access(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    response = httpx.Response(401, request=httpx.Request("GET", "https://hub"))
    gone = huggingface_hub.errors.RepositoryNotFoundError("401 Client Error.", response=response)
    answer(monkeypatch, gone)
    with pytest.raises(InvalidInput, match="HF_TOKEN"):
        hub.download("org/name", into=tmp_path)
