"""Rows become items: known by id or content, each an item of its own, every bad line told."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from modiste.errors import InvalidInput
from modiste.evaluate.dataset import items_in, items_of, sha256_of
from modiste.evaluate.items import Item
from modiste.evaluate.suite import Data
from modiste.prepare.sources.document import Item as RowIn


def read(*rows: Any, **data: Any) -> list[Item]:
    told = [RowIn(line, b"", row) for line, row in enumerate(rows, 1)]
    return items_of(told, Data(file_id="f", **data), name="rows.jsonl")


def problems(*rows: Any, **data: Any) -> list[tuple[int | None, str, str]]:
    with pytest.raises(InvalidInput) as refused:
        read(*rows, **data)
    return [(p.line, p.code, p.message) for p in refused.value.problems]


def test_a_row_is_known_by_its_content_whatever_the_order_of_its_fields() -> None:
    one, other, twin = read({"a": 1, "b": 2}, {"a": 1}, {"b": 2, "a": 1})
    assert len(one.key) == 16
    assert other.key != one.key
    assert twin.key == f"{one.key}#2"


def test_the_same_row_again_is_an_item_of_its_own() -> None:
    items = read(*[{"q": "again"}] * 4)
    assert len({item.key for item in items}) == len(items) == 4


def test_what_templates_name_is_taken_from_the_row() -> None:
    [item] = read(
        {"n": 7, "doc": "d1", "answers": ["a", "b"], "lang": "de"},
        id="{{n}}",
        reference="{{answers}}",
        cluster="{{doc}}",
        slices={"language": "{{lang}}"},
    )
    assert (item.key, item.reference, item.cluster) == ("7", ["a", "b"], "d1")
    assert item.slices == {"language": "de"}


def test_every_bad_row_is_told_with_its_line() -> None:
    rows = [{"q": 1, "id": "a"}, [1], {"id": "b"}, {"q": 2, "id": "a"}, "text", {"q": 3, "id": "c"}]
    assert [(line, code) for line, code, _ in problems(*rows, id="{{id}}", reference="{{q}}")] == [
        (2, "not_an_object"),
        (3, "field_missing"),
        (4, "id_twice"),
        (5, "not_an_object"),
    ]


def test_many_bad_rows_are_told_up_to_a_number(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="and 497 more") as refused:
        read(*[[]] * 500)
    assert len(refused.value.problems) == 100


def test_a_file_without_rows_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n\n")
    with pytest.raises(InvalidInput, match=r"rows\.jsonl has no rows"):
        items_in(path, Data(file_id="f"), name="rows.jsonl")


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.csv", "rows.jsonl.gz"])
def test_files_of_every_kind_are_read(tmp_path: Path, name: str) -> None:
    rows = [{"q": "a", "n": "1"}, {"q": "ü", "n": "2"}]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    if name == "rows.json":
        text = json.dumps(rows)
    if name == "rows.csv":
        text = "q,n\na,1\nü,2\n"
    content = text.encode()
    path = tmp_path / "blob"  # As the store keeps it: the name says nothing of the content.
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    items = items_in(path, Data(file_id="f", reference="{{n}}"), name=name)
    assert [(item.row["q"], item.reference) for item in items] == [("a", "1"), ("ü", "2")]


def test_broken_lines_are_told_with_the_name_people_know(tmp_path: Path) -> None:
    path = tmp_path / "blob"
    path.write_bytes(b'{"q": 1}\n{"q": NaN}\n{"q": 2\n{"q": "\xff"}\n')
    with pytest.raises(InvalidInput) as refused:
        items_in(path, Data(file_id="f"), name="mine.jsonl")
    assert [(p.file, p.line) for p in refused.value.problems] == [
        ("mine.jsonl", line) for line in (2, 3, 4)
    ]


def test_a_huge_row_is_an_item_and_a_number_no_reader_holds_is_told(tmp_path: Path) -> None:
    path = tmp_path / "blob"
    path.write_text(json.dumps({"q": "x" * 2_000_000, "n": 10**30}) + "\n")
    [item] = items_in(path, Data(file_id="f"), name="a.jsonl")
    assert (len(item.row["q"]), item.row["n"]) == (2_000_000, 1e30)
    path.write_text('{"q": 1}\n{"q": 1' + "0" * 400 + "}\n")
    with pytest.raises(InvalidInput) as refused:
        items_in(path, Data(file_id="f"), name="a.jsonl")
    assert [p.line for p in refused.value.problems] == [2]


def test_a_limit_draws_the_same_rows_in_the_order_of_the_file() -> None:
    rows = [{"n": n} for n in range(200)]
    drawn = [item.row["n"] for item in read(*rows, limit=50, seed=3)]
    assert drawn == sorted(drawn)
    assert drawn == [item.row["n"] for item in read(*rows, limit=50, seed=3)]
    # That two seeds draw the same 50 of 200 has odds of 1 in 10⁴⁷.
    assert drawn != [item.row["n"] for item in read(*rows, limit=50, seed=4)]


def test_a_limit_above_the_rows_is_refused_with_their_number() -> None:
    with pytest.raises(InvalidInput, match=r"limit is 3, and rows.jsonl has 2 rows"):
        read({"n": 1}, {"n": 2}, limit=3)


def test_the_hash_of_items_changes_with_what_is_asked_what_is_right_and_their_order() -> None:
    rows = [{"q": "a", "r": "1"}, {"q": "b", "r": "2"}]
    same = sha256_of(read(*rows, reference="{{r}}"))
    assert same == sha256_of(
        read(*[dict(reversed(row.items())) for row in rows], reference="{{r}}")
    )
    for other in (
        read(*reversed(rows), reference="{{r}}"),
        read(*rows),
        read(*rows, reference="{{r}}", id="{{q}}"),
        read(*rows, reference="{{r}}", slices={"s": "{{q}}"}),
        read(*rows[:1], reference="{{r}}"),
    ):
        assert sha256_of(other) != same


def test_a_template_that_is_none_is_refused_before_any_row() -> None:
    with pytest.raises(InvalidInput, match=r"dataset.cluster is '{{' *, which is no template"):
        read({"q": 1}, cluster="{{")
