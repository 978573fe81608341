"""The rows of any file: what they come in does not matter, and what is broken is told."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modiste.prepare.sources.containers import Container, Packing, packing_of
from modiste.prepare.sources.document import Item
from modiste.prepare.sources.items import items

ROWS = [{"a": str(n), "b": "x"} for n in range(300)]
JSONL = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
CSV = ("a,b\n" + "".join(f"{row['a']},{row['b']}\n" for row in ROWS)).encode()


def read(path: Path, name: str) -> list[Item]:
    return list(items(path, packing_of(path, filename=name), filename=name))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.jsonl", JSONL),
        ("rows.json", json.dumps(ROWS).encode()),
        ("rows.json", json.dumps({"data": ROWS}, indent=1).encode()),
        ("rows.csv", CSV),
        ("rows.tsv", CSV.replace(b",", b"\t")),
    ],
)
def test_the_same_rows_come_out_of_every_container(
    tmp_path: Path, name: str, content: bytes, packed: bool
) -> None:
    path = tmp_path / "blob"
    path.write_bytes(gzip.compress(content) if packed else content)
    assert [item.value for item in read(path, name)] == ROWS


def test_gzipped_parquet_is_unpacked(tmp_path: Path) -> None:
    pa, pq = (
        pytest.importorskip("pyarrow", reason="pip install 'modiste[data]'"),
        pytest.importorskip("pyarrow.parquet", reason="pip install 'modiste[data]'"),
    )
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "rows.parquet")
    path = tmp_path / "rows.parquet.gz"
    path.write_bytes(gzip.compress((tmp_path / "rows.parquet").read_bytes()))
    assert [item.value for item in read(path, "rows.parquet.gz")] == ROWS


@pytest.mark.parametrize("name", ["rows.jsonl.gz", "rows.csv.gz", "rows.json.gz"])
def test_gzip_cut_short_keeps_the_rows_before_and_says_so(tmp_path: Path, name: str) -> None:
    content = {"jsonl": JSONL, "csv": CSV, "json": json.dumps(ROWS, indent=0).encode()}
    path = tmp_path / name
    path.write_bytes(gzip.compress(content[name.split(".")[1]])[:-200])
    *good, last = read(path, name)
    assert last.problem is not None
    assert last.problem.code == "gzip_truncated"
    assert [item.value for item in good] == ROWS[: len(good)]
    assert good


def test_damaged_gzip_is_told(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(JSONL))
    packed[40] ^= 0xFF
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(packed)
    problems = [item.problem.code for item in read(path, "rows.jsonl.gz") if item.problem]
    assert problems[-1] in ("gzip_damaged", "gzip_truncated")


def test_a_file_that_cannot_be_opened_is_a_problem(tmp_path: Path) -> None:
    [item] = items(tmp_path / "gone", Packing(Container.JSONL, False), filename="gone")
    assert item.problem is not None
    assert (item.problem.code, item.problem.line) == ("file_unreadable", 1)


NAMES = ["a.jsonl", "a.json", "a.csv", "a.tsv", "a"]
HEADS = [b"", b"PAR1", b"ARROW1\0\0", b"\x1f\x8b\x08\0", b"\xff\xff\xff\xff", b"[", b"{", b"a,b\n"]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(HEADS), st.binary(max_size=150), st.sampled_from(NAMES), st.booleans())
def test_whatever_the_bytes_every_item_is_a_value_or_a_problem(
    tmp_path_factory: pytest.TempPathFactory, head: bytes, rest: bytes, name: str, packed: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "any-bytes"
    path.write_bytes(gzip.compress(head + rest, 1) if packed else head + rest)
    for item in read(path, name):
        assert item.line >= 1
        assert item.problem is None or (item.problem.code and item.problem.line)
