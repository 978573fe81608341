"""Which files hold rows, and which of many a path, folder or pattern asks for."""

from __future__ import annotations

import pytest

from modiste.prepare.sources.names import choose, rows_files

FILES = [
    "README.md",
    "data/test-00000.parquet",
    "data/train-00001.parquet",
    "data/train-00000.parquet",
    "data/deep/more.jsonl.gz",
    "train.jsonl",
    "train.report.json",
]


@pytest.mark.parametrize(
    "name", ["a.jsonl", "a.JSONL", "a.jsonl.gz", "b/a.csv", "a.parquet", "a.arrow", "a.json"]
)
def test_files_of_rows_are_known_by_their_names(name: str) -> None:
    assert rows_files([name]) == [name]


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        ".cache/a.jsonl",
        "a/.hidden.jsonl",
        "train.report.json",
        "dataset_info.json",
        "a.gz",
    ],
)
def test_what_stands_beside_rows_is_left_out(name: str) -> None:
    assert rows_files([name]) == []


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        ("train.jsonl", ["train.jsonl"]),
        ("README.md", ["README.md"]),  # who names a file gets it, whatever it is called
        ("data/train-*.parquet", ["data/train-00000.parquet", "data/train-00001.parquet"]),
        ("data/train-0000[!1].parquet", ["data/train-00000.parquet"]),
        ("*.jsonl", ["train.jsonl"]),
        ("**/*.jsonl.gz", ["data/deep/more.jsonl.gz"]),
        ("data/deep/", ["data/deep/more.jsonl.gz"]),
        ("nothing", []),
    ],
)
def test_a_path_a_folder_or_a_pattern_chooses(wanted: str, chosen: list[str]) -> None:
    assert choose(FILES, wanted) == chosen


def test_an_empty_name_chooses_every_file_of_rows_in_order() -> None:
    assert choose(FILES, "") == sorted(f for f in FILES if f not in FILES[:1] + FILES[-1:])


def test_the_rows_of_a_manifest_are_not_rows_of_the_data_set() -> None:
    folder = ["d/train.jsonl", "d/rows.jsonl.gz", "d/dataset.json", "e/rows.jsonl.gz"]
    assert rows_files(folder) == ["d/train.jsonl", "e/rows.jsonl.gz"]
