"""Stages from a caller, as a pipeline over files that lie where we put them."""

from __future__ import annotations

from pathlib import Path

import pytest

from modiste.actions import curation
from modiste.prepare.curate.steps import places_of
from modiste.types import DatasetFile

ONE = DatasetFile("train", "id-1", "a.csv.gz", "0" * 64, 2)
TWO = DatasetFile("train", "id-2", "../../etc/x.jsonl", "1" * 64, 2)
EVAL = DatasetFile("against", "id-3", "eval.parquet", "2" * 64, 2)


@pytest.mark.parametrize(
    ("filename", "name"),
    [
        ("a.jsonl", "id.jsonl"),
        ("A.CSV.GZ", "id.csv.gz"),
        ("../../x", "id"),
        ("a.b/c", "id"),
        ("x.jsonl\x00", "id"),
        ("many.dots.in.json", "id.in.json"),
    ],
)
def test_a_file_lies_under_its_id_with_the_suffix_that_tells_its_container(
    filename: str, name: str
) -> None:
    assert curation.local_name(DatasetFile("train", "id", filename, "0" * 64)) == name


def test_ids_in_settings_become_the_names_of_files(tmp_path: Path) -> None:
    stages = [{"dedup": None}, {"decontaminate": {"against": ["id-3"]}}]
    pipeline = curation.in_folder(stages, [ONE, TWO, EVAL], tmp_path)
    assert [entry.path for entry in pipeline.inputs] == ["id-1.csv.gz", "id-2.jsonl"]
    assert [entry.filename for entry in pipeline.inputs] == [ONE.filename, TWO.filename]
    assert places_of(pipeline.steps[1]) == ["id-3.parquet"]
    assert pipeline.output == tmp_path / "output"


def test_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    twin = ONE._replace(file_id="id-9")
    pipeline = curation.in_folder([{"dedup": None}], [ONE, twin], tmp_path)
    assert [entry.filename for entry in pipeline.inputs] == ["a.csv.gz (id-1)", "a.csv.gz (id-9)"]
