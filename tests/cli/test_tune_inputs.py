"""Bases in folders are installed, rows are held out, before a job is made."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from modiste import settings
from modiste.cli.tune_inputs import base_of, content_of, held_out, refuse_undecidable
from modiste.client import connect
from modiste.errors import InvalidInput
from modiste.tune.spec import Data, DataFile, TuneSpec

SHIPPED = Path(settings.__file__).parent / "bases" / "tiny"


def rows(path: Path, n: int) -> Path:
    asked = [
        {"messages": [{"role": "user", "content": f"q{i}"}, {"role": "assistant", "content": "a"}]}
        for i in range(n)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in asked))
    return path


def test_a_folder_is_installed_once_under_its_name(home: Path, tmp_path: Path) -> None:
    one, other = tmp_path / "my base!", tmp_path / "elsewhere" / "my base!"
    for folder in (one, other):
        shutil.copytree(SHIPPED, folder)
    with connect(settings.load()) as client:
        assert base_of(client, one) == "my-base"
        assert base_of(client, one) == "my-base"
        second = base_of(client, other)
        assert second.startswith("my-base-"), "the name is taken by other weights"
        assert base_of(client, SHIPPED) == "modiste-tiny"


def test_a_folder_without_a_base_is_refused(home: Path, tmp_path: Path) -> None:
    with connect(settings.load()) as client, pytest.raises(InvalidInput):
        base_of(client, tmp_path)


def test_rows_held_out_are_the_same_ones_every_time(tmp_path: Path) -> None:
    file = DataFile(path=str(rows(tmp_path / "train.jsonl", 200)), weight=3.0)
    data = Data(train=(file,), holdout=0.2)
    found = held_out(data, tmp_path / "kept")
    assert found == held_out(data, tmp_path / "kept")
    (train,), (validation,) = found.train, found.validation
    n = [len(Path(part.path or "").read_text().splitlines()) for part in (train, validation)]
    assert sum(n) == 200
    # 200 rows at 0.2 each: 40 with a deviation of 5.7; five deviations miss once in a million.
    assert abs(n[1] - 40) < 29
    assert train.weight == 3.0
    assert found.holdout == 0.0


def test_uploaded_files_cannot_be_split_here(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"need data\.validation"):
        held_out(Data(train=(DataFile(file_id="x"),), holdout=0.1), tmp_path)


def test_an_adapter_is_told_by_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    before = content_of(str(tmp_path))
    (tmp_path / "adapter_config.json").write_text('{"r": 8}')
    assert content_of(str(tmp_path)) != before
    assert content_of("ft:m") == "ft:m"


def test_the_best_of_no_evaluation_is_refused_before_anything_is_uploaded() -> None:
    train = (DataFile(file_id="x"),)
    spec = TuneSpec(model="m", data=Data(train=train), early_stopping_patience=2)
    with pytest.raises(InvalidInput, match=r"give data\.validation or data\.holdout") as told:
        refuse_undecidable(spec)
    assert told.value.param == "early_stopping_patience"
    for data in (Data(train=train, holdout=0.1), Data(train=train, validation=train)):
        refuse_undecidable(spec.model_copy(update={"data": data}))
