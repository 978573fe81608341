"""`modiste data reformat` as its user meets it."""

from __future__ import annotations

import json

import pytest

BENT = {"interactions": [{"role": "human", "text": "a"}, {"role": "gpt", "text": "b"}]}
LOST = {"messages": [{"role": "user", "content": "a"}]}


@pytest.fixture
def write(tmp_path):
    def file(name, *rows):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return file


def test_a_file_is_repaired_with_a_diff_and_a_backup(modiste, write):
    path = write("a.jsonl", BENT)

    result = modiste("data", "reformat", path)

    assert result.code == 0
    assert "repaired 1 of 1 rows" in result.out
    assert '+   "role": "user",' in result.out
    assert f"{path}.bak" in result.out
    assert json.loads(path.read_text())["messages"][0] == {"role": "user", "content": "a"}


def test_a_second_time_there_is_nothing_to_repair(modiste, write):
    path = write("a.jsonl", BENT)
    modiste("data", "reformat", path)

    result = modiste("data", "reformat", path)

    assert (result.code, "nothing to repair in 1 rows" in result.out) == (0, True)


def test_what_cannot_be_repaired_stays_and_is_told(modiste, write):
    path = write("a.jsonl", BENT, LOST)

    result = modiste("data", "reformat", path)

    assert result.code == 1
    assert "line 2" in result.err
    assert len(path.read_text().splitlines()) == 2


def test_drop_leaves_out_what_cannot_be_trained_and_keeps_one_backup(modiste, write):
    path = write("a.jsonl", LOST, BENT, LOST)

    result = modiste("data", "reformat", path, "--drop", "--json")

    assert result.code == 0
    (file,) = result.json["files"]
    assert (file["dropped"], file["problems"]) == ([1, 3], [])
    assert len(path.read_text().splitlines()) == 1
    assert sorted(p.name for p in path.parent.glob("a*")) == ["a.jsonl", "a.jsonl.bak"]
    assert len((path.parent / "a.jsonl.bak").read_text().splitlines()) == 3


def test_a_dry_run_writes_nothing(modiste, write):
    path = write("a.jsonl", BENT)
    before = path.read_text()

    result = modiste("data", "reformat", path, "--dry-run")

    assert "would repair 1 of 1 rows" in result.out
    assert path.read_text() == before


def test_folders_and_windows_paths_are_taken(modiste, write, tmp_path, monkeypatch):
    write("data/b.jsonl", BENT)
    write("data/inner/a.jsonl", BENT)
    (tmp_path / "data" / "table.csv").write_text("text\nhi\n")
    monkeypatch.chdir(tmp_path)

    result = modiste("data", "reformat", "data", "data\\inner\\a.jsonl", "--json")

    assert result.code == 0
    assert [file["changed_rows"] for file in result.json["files"]] == [1, 1]


def test_a_file_that_is_not_there_ends_with_2(modiste, tmp_path):
    result = modiste("data", "reformat", tmp_path / "none.jsonl")

    assert result.code == 2
    assert "there is no file" in result.err
