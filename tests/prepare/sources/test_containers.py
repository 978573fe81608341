"""What a file is, told from its bytes where they can tell, from its name where they cannot."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modiste.prepare.sources.containers import Container, container_of, packing_of

JSONL, JSON, CSV, TSV = Container.JSONL, Container.JSON, Container.CSV, Container.TSV


@pytest.mark.parametrize(
    ("head", "name", "container"),
    [
        (b'{"a": 1}\n{"a": 2}\n', "rows.jsonl", JSONL),
        (b'{"a": 1}\n{"a": 2}\n', "rows.json", JSONL),
        (b'{"a": 1}\n{"a": 2}\n', "rows", JSONL),
        (b'\xef\xbb\xbf{"a": 1}\n{"a": 2}\n', "rows.json", JSONL),
        (b'{"a": 1}', "rows.jsonl", JSONL),
        (b'{"data": [{"a": 1}]}', "rows.json", JSON),
        (b'{\n "data": [', "rows.json", JSON),
        (b'{\n "data": [', "rows", JSON),
        (b'[{"a": 1},\n{"a": 2}]', "rows.json", JSON),
        (b'[\n{"a": 1},\n{"a": 2}]', "rows.jsonl", JSON),
        (b'[{"a": 1}]', "rows", JSON),
        (b"[1]\n[2]\n", "rows.jsonl", JSONL),
        (b"a,b\n1,2\n", "rows.csv", CSV),
        (b"a\tb\n1\t2\n", "rows.tsv", TSV),
        (b"question,answer\n1,2\n", "rows", CSV),
        (b"chat id\trole\n1\t2\n", "rows", TSV),
        (b"Hello, world! I am text.\nmore\n", "rows", JSONL),
        (b"not json\n", "rows.jsonl", JSONL),
        (b"a\rb,c\n1,2\n", "rows", JSONL),
        (b"", "rows.parquet", JSONL),
        (b"PAR1....", "rows.jsonl", Container.PARQUET),
        (b"ARROW1\0\0", "rows.csv", Container.ARROW),
        (b"\xff\xff\xff\xff\x10", "rows.arrow", Container.ARROW),
    ],
)
def test_bytes_tell_before_names(head: bytes, name: str, container: Container) -> None:
    assert container_of(head, name) is container


@pytest.mark.parametrize("name", ["rows.csv.gz", "rows.csv"])
def test_gzip_is_seen_through_whatever_the_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / "blob"
    path.write_bytes(gzip.compress(b"a,b\n1,2\n"))
    assert packing_of(path, filename=name) == (CSV, True)


def test_damaged_gzip_is_still_gzip(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(b"\x1f\x8bnot gzip")
    assert packing_of(path, filename="rows.jsonl.gz") == (JSONL, True)


@given(st.binary(max_size=200), st.sampled_from(["a.jsonl", "a.json", "a.csv", "a", "a.parquet"]))
def test_any_bytes_are_something(head: bytes, name: str) -> None:
    assert container_of(head, name) in Container
