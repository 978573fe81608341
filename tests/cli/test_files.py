"""Files through the command line, against the real front in this process."""

from pathlib import Path


def test_a_file_goes_up_is_listed_comes_back_and_is_deleted(
    modiste, training_file: Path, tmp_path: Path
) -> None:
    uploaded = modiste("files", "upload", training_file, "--json").json
    assert uploaded["filename"] == "train.jsonl"
    assert [f["id"] for f in modiste("files", "list", "--json").json["data"]] == [uploaded["id"]]
    assert "train.jsonl" in modiste("files", "list").out
    assert "rows      20" in modiste("files", "show", uploaded["id"]).out

    target = tmp_path / "back.jsonl"
    assert modiste("files", "download", uploaded["id"], "-o", target).code == 0
    assert target.read_bytes() == training_file.read_bytes()

    assert modiste("files", "delete", uploaded["id"]).code == 0
    assert modiste("files", "list", "--json").json["data"] == []


def test_the_same_file_twice_is_one_file(modiste, training_file: Path) -> None:
    first = modiste("files", "upload", training_file, "--json").json
    assert modiste("files", "upload", training_file, "--json").json["id"] == first["id"]


def test_a_download_does_not_overwrite(modiste, training_file: Path) -> None:
    file = modiste("files", "upload", training_file, "--json").json
    before = training_file.read_bytes()
    result = modiste("files", "download", file["id"], "-o", training_file)
    assert (result.code, training_file.read_bytes()) == (1, before)
    assert "--output" in result.err


def test_a_download_to_standard_output_is_byte_for_byte(modiste, training_file: Path) -> None:
    file = modiste("files", "upload", training_file, "--json").json
    assert modiste("files", "download", file["id"], "-o", "-").out == training_file.read_text()


def test_every_broken_line_is_reported_on_a_line_of_its_own(modiste, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"messages": []}\nnope\n{"a":\n')
    result = modiste("files", "upload", broken)
    assert result.code == 2
    lines = result.err.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("error: ")
    assert lines[1].startswith("  broken.jsonl line 2: ")
    assert lines[2].startswith("  broken.jsonl line 3: ")


def test_a_path_that_is_not_there_is_said_with_its_name(modiste) -> None:
    result = modiste("files", "upload", "nowhere.jsonl")
    assert result.code == 2
    assert "nowhere.jsonl: cannot be read: No such file" in result.err


def test_an_unknown_id_fails(modiste) -> None:
    assert modiste("files", "show", "nope").code == 1
