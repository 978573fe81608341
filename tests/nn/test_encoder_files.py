"""What a folder says of its sentence-embedding model, and what is refused by name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from modiste.errors import InvalidInput
from modiste.nn import encoder_files
from modiste.nn.encoder_files import EncoderInfo

TINY = Path(encoder_files.__file__).parents[1] / "bases" / "tiny"


@pytest.fixture
def folder(tmp_path: Path, sentence_base: Path) -> Path:
    return Path(shutil.copytree(sentence_base, tmp_path / "copy"))


def change(file: Path, **values: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def test_an_encoder_is_told_from_a_base(sentence_base: Path, tmp_path: Path) -> None:
    assert encoder_files.is_encoder(sentence_base)
    assert not encoder_files.is_encoder(TINY)
    assert not encoder_files.is_encoder(tmp_path)


def test_everything_is_read_from_the_modules(folder: Path) -> None:
    assert encoder_files.read(folder) == EncoderInfo(32, 24, "mean", normalises=True)
    flags = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    change(folder / "1_Pooling" / "config.json", **flags)
    modules = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps(modules[:2]))
    (folder / "sentence_bert_config.json").unlink()
    assert encoder_files.read(folder) == EncoderInfo(32, 64, "cls", normalises=False)


def test_newer_folders_name_the_pooling_in_a_word(folder: Path) -> None:
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode": "lasttoken"}')
    assert encoder_files.read(folder).pooling == "lasttoken"


def test_without_modules_the_mean_is_taken(folder: Path) -> None:
    (folder / "modules.json").unlink()
    (folder / "sentence_bert_config.json").unlink()
    change(folder / "config.json", model_type="xlm-roberta")
    # Positions begin behind the padding token's: two are never used.
    assert encoder_files.read(folder) == EncoderInfo(32, 62, "mean", normalises=True)


def test_what_is_not_computed_here_is_refused_by_name(folder: Path) -> None:
    flags = {"pooling_mode_cls_token": True}
    change(folder / "1_Pooling" / "config.json", **flags)
    with pytest.raises(InvalidInput, match="pooling is cls, mean; one of"):
        encoder_files.read(folder)
    dense = [{"type": "sentence_transformers.models.Dense", "path": "2_Dense"}]
    (folder / "modules.json").write_text(json.dumps(dense))
    with pytest.raises(InvalidInput, match="Dense is not computed here"):
        encoder_files.read(folder)
    (folder / "tokenizer.json").unlink()
    (folder / "model.safetensors").unlink()
    with pytest.raises(InvalidInput, match=r"tokenizer\.json and .*safetensors missing"):
        encoder_files.read(folder)
