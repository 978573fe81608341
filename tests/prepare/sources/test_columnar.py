"""Parquet and Arrow as rows: nulls are absent, other types are text, damage is told."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modiste.prepare.sources.columnar import read_columnar
from modiste.prepare.sources.containers import Container, packing_of
from modiste.prepare.sources.document import Item

pa = pytest.importorskip("pyarrow", reason="pip install 'modiste[data]'")
pq = pytest.importorskip("pyarrow.parquet", reason="pip install 'modiste[data]'")
feather = pytest.importorskip("pyarrow.feather", reason="pip install 'modiste[data]'")

ROWS = [
    {"messages": [{"role": "user", "content": "q", "weight": None}], "n": 1},
    {"messages": [{"role": "assistant", "content": "a", "weight": 0}], "n": None},
]
READ = [
    {"messages": [{"role": "user", "content": "q"}], "n": 1},
    {"messages": [{"role": "assistant", "content": "a", "weight": 0}]},
]


def write_parquet(table: Any, path: Path) -> None:
    pq.write_table(table, path)


def write_file(table: Any, path: Path) -> None:
    with pa.ipc.new_file(path, table.schema) as sink:
        sink.write_table(table)


def write_stream(table: Any, path: Path) -> None:
    with pa.ipc.new_stream(path, table.schema) as sink:
        sink.write_table(table)


def write_feather(table: Any, path: Path) -> None:
    feather.write_feather(table, path)


def items(path: Path) -> list[Item]:
    container = packing_of(path, filename="data").container
    return list(read_columnar(path, container, file="data"))


@pytest.mark.parametrize("write", [write_parquet, write_file, write_stream, write_feather])
def test_every_layout_reads_alike_and_nulls_are_absent(tmp_path: Path, write: Any) -> None:
    path = tmp_path / "data"
    write(pa.Table.from_pylist(ROWS), path)
    found = items(path)
    assert [(item.line, item.value) for item in found] == [(1, READ[0]), (2, READ[1])]


def test_more_rows_than_a_batch_are_numbered_through(tmp_path: Path) -> None:
    pq.write_table(pa.table({"n": list(range(1000))}), tmp_path / "data")
    assert [(i.line, i.value["n"]) for i in items(tmp_path / "data")] == [
        (n + 1, n) for n in range(1000)
    ]


def test_types_that_json_has_not_are_written_out(tmp_path: Path) -> None:
    columns = {
        "at": [datetime(2026, 11, 20, 12, tzinfo=UTC)],
        "cost": [Decimal("1.50")],
        "text": [b"caf\xc3\xa9"],
        "image": [b"\xff\xd8"],
        "nan": [float("nan")],
    }
    pq.write_table(pa.table(columns), tmp_path / "data")
    [item] = items(tmp_path / "data")
    assert item.value == {
        "at": "2026-11-20T12:00:00+00:00",
        "cost": "1.50",
        "text": "café",
        "image": "/9g=",
    }


def test_a_column_that_stands_twice_is_told_not_overwritten(tmp_path: Path) -> None:
    twice = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    pq.write_table(twice, tmp_path / "data")
    [item] = items(tmp_path / "data")
    assert item.problem is not None
    assert item.problem.code == "columns_repeated"


def test_maps_are_objects(tmp_path: Path) -> None:
    kind = pa.map_(pa.string(), pa.int64())
    pq.write_table(pa.table({"m": pa.array([[("a", 1)]], kind)}), tmp_path / "data")
    assert [item.value for item in items(tmp_path / "data")] == [{"m": {"a": 1}}]


def test_a_row_whose_text_is_not_text_is_told_and_the_others_stand(tmp_path: Path) -> None:
    bad = pa.array([b"a", b"\xff", b"c"]).view(pa.string())
    write_stream(pa.table({"t": bad}), tmp_path / "data")
    found = items(tmp_path / "data")
    assert [item.value for item in found if not item.problem] == [{"t": "a"}, {"t": "c"}]
    assert [(i.line, i.problem.code) for i in found if i.problem] == [(2, "value_unreadable")]


@pytest.mark.parametrize("write", [write_parquet, write_file, write_stream])
def test_a_file_cut_short_ends_in_a_problem(tmp_path: Path, write: Any) -> None:
    path = tmp_path / "data"
    write(pa.Table.from_pylist(ROWS * 400), path)
    path.write_bytes(path.read_bytes()[:-400])
    last = items(path)[-1].problem
    assert last is not None
    assert last.code == "file_damaged"
    assert "copy or export it again" in (last.hint or "")


def test_without_pyarrow_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    [item] = read_columnar(tmp_path / "data", Container.PARQUET, file="data")
    assert item.problem is not None
    assert item.problem.code == "extra_missing"
    assert "modiste[data]" in (item.problem.hint or "")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    files = []
    for write in (write_parquet, write_file, write_stream):
        path = tmp_path_factory.mktemp("whole") / "data"
        write(pa.Table.from_pylist(ROWS * 3), path)
        files.append(path.read_bytes())
    return files


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_flipped_bytes_never_raise(
    whole: list[bytes], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(data.draw(st.sampled_from(whole)))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(6, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "flipped"
    path.write_bytes(content)
    for item in items(path):
        assert isinstance(item.value, dict) or item.problem is not None
