"""YAML that people write."""

from pathlib import Path

import pytest

from modiste.errors import InvalidInput
from modiste.prepare.yaml_file import lines_in, lines_of, read_mapping, read_yaml


def test_a_mapping_comes_back_with_its_names_as_text(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("a: [1, 2]\n3: x\n")
    assert read_mapping(path, expected="names") == {"a": [1, 2], "3": "x"}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"a: [", "not readable as YAML"),
        (b"\xff\xfe", "not readable as YAML"),
        (b"!!python/object/apply:os.getcwd []", "not readable as YAML"),
        (b"[" * 3000, "a.yaml"),
        (b"- a\n", "expected `model:`, got list"),
        (b"", "expected `model:`, got NoneType"),
    ],
)
def test_what_is_no_mapping_is_refused_by_name(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(content)
    with pytest.raises(InvalidInput) as refused:
        read_mapping(path, expected="`model:`")
    assert str(path) in refused.value.message
    assert says in refused.value.message


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read: No such file"):
        read_yaml(tmp_path / "gone.yaml")


def test_every_name_has_its_line(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("# first\na: 1\nb:\n  c: 2\n  d: {e: 3}\n")

    assert lines_of(path) == {"a": 2, "b": 3, "b.c": 4, "b.d": 5, "b.d.e": 5}


def test_parts_of_a_list_have_the_line_they_begin_in() -> None:
    text = "a:\n- b: 1\n  c: 2\n- [x,\n   y]\n"

    assert lines_in(text) == {
        "a": 1, "a.0": 2, "a.0.b": 2, "a.0.c": 3, "a.1": 4, "a.1.0": 4, "a.1.1": 5
    }  # fmt: skip
    assert lines_in("a: &x [*x]") == {"a": 1, "a.0": 1}
    assert lines_in("") == {}
