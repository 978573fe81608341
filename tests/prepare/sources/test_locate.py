"""Names of data become files; every name that leads nowhere is told at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from modiste.errors import InvalidInput
from modiste.prepare.sources.locate import locate


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.jsonl", "a/z.csv", "a/b.parquet", "README.md", ".git/x.jsonl", "b.report.json"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}\n")
    return tmp_path


def names(found: list) -> list[str]:
    return [Path(each.filename).name for each in found]


def test_a_file_keeps_the_name_it_was_given(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert [each.filename for each in locate(["b.jsonl"])] == ["b.jsonl"]


def test_a_folder_is_every_file_of_rows_below_it_in_order(folder: Path) -> None:
    assert names(locate([str(folder)])) == ["b.parquet", "z.csv", "b.jsonl"]


def test_a_pattern_reaches_into_folders(folder: Path) -> None:
    assert names(locate([f"{folder}/**/*.csv"])) == ["z.csv"]


def test_a_file_with_the_signs_of_a_pattern_in_its_name_is_itself(folder: Path) -> None:
    odd = folder / "rows[1].jsonl"
    odd.write_text("{}\n")
    assert names(locate([str(odd)])) == ["rows[1].jsonl"]


def test_a_file_named_twice_is_read_once(folder: Path) -> None:
    assert len(locate([str(folder / "b.jsonl"), str(folder)])) == 3


def test_every_name_that_leads_nowhere_is_told(folder: Path) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(InvalidInput) as told:
        locate([str(folder / "gone"), str(folder / "*.nope"), str(folder / "empty"), "ftp://x/y"])
    for part in ("gone", "*.nope", "holds no file of rows", "ftp://"):
        assert part in told.value.message


def test_a_web_address_is_refused_with_what_to_do() -> None:
    with pytest.raises(InvalidInput, match="download it"):
        locate(["https://example.com/a.jsonl"])


def test_a_windows_path_is_a_path_not_a_url() -> None:
    with pytest.raises(InvalidInput, match="there is no file C:"):
        locate(["C:\\data\\train.jsonl"])


def test_an_object_store_by_url_is_fetched_into_the_cache(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    found = locate([f"file://{folder}/a"], cache=cache)
    assert names(found) == ["b.parquet", "z.csv"]
    assert all(cache in each.path.parents for each in found)
