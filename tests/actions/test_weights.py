"""Where weights lie: a base, a base with an adapter, a whole model."""

from __future__ import annotations

from pathlib import Path

import pytest

from modiste.actions.weights import Weights, folders
from modiste.errors import Corrupt
from modiste.store.blobs import Blobs, adapter_of
from modiste.types import Adapter

BASE = Path("/some/base")


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(f"file://{tmp_path}/blobs", scratch=tmp_path / "scratch")


def made(blobs: Blobs, **files: bytes) -> Adapter:
    named = {name.replace("__", "."): content for name, content in files.items()}
    return adapter_of({name: blobs.put_bytes(content).sha256 for name, content in named.items()})


def test_a_base_lies_where_it_was_installed(blobs: Blobs, tmp_path: Path) -> None:
    assert folders(blobs, tmp_path, base=BASE, made=None) == Weights(BASE, None, None)


def test_an_adapter_lies_beside_its_base(blobs: Blobs, tmp_path: Path) -> None:
    adapter = made(blobs, adapter_config__json=b"{}", adapter_model__safetensors=b"A B")
    assert not adapter.is_whole
    found = folders(blobs, tmp_path, base=BASE, made=adapter)
    assert found.base == BASE
    assert found.version == adapter.version
    assert found.adapter is not None
    assert (found.adapter / "adapter_model.safetensors").read_bytes() == b"A B"


def test_a_whole_model_is_a_base_of_its_own(blobs: Blobs, tmp_path: Path) -> None:
    model = made(blobs, config__json=b"{}", model__safetensors=b"W", tokenizer__json=b"{}")
    assert model.is_whole
    found = folders(blobs, tmp_path, base=BASE, made=model)
    assert (found.adapter, found.version) == (None, None)
    names = sorted(path.name for path in found.base.iterdir())
    assert names == ["config.json", "model.safetensors", "tokenizer.json"]
    assert folders(blobs, tmp_path, base=BASE, made=model) == found, "made once"


def test_bytes_that_changed_make_no_folder(blobs: Blobs, tmp_path: Path) -> None:
    model = made(blobs, config__json=b"{}", model__safetensors=b"W")
    assert blobs.folder is not None
    for path in blobs.folder.rglob("*"):
        if path.is_file() and path.read_bytes() == b"W":
            path.chmod(0o600)
            path.write_bytes(b"X")
    with pytest.raises(Corrupt):
        folders(blobs, tmp_path / "cache", base=BASE, made=model)
    assert not (tmp_path / "cache" / "adapters" / model.version).exists()
