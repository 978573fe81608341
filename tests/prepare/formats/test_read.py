"""From bytes to examples: any file, any format, told or given."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modiste.errors import InvalidInput
from modiste.prepare.formats.columns import Columns
from modiste.prepare.formats.kinds import Format
from modiste.prepare.formats.read import Read, parse_row, read, rows, tell
from modiste.prepare.sources.containers import Container
from modiste.types import SampleType

MESSAGES = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
CHAT = {"messages": MESSAGES}
TABLE = b"chat_id,role,content\n1,user,q\n1,assistant,a\n2,user,q\n2,assistant,a\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "blob"


def jsonl(*values: Any) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


def said(found: list[Read]) -> list[list[str | None]]:
    return [[m.content for m in r.row.example.messages] for r in found if r.row.example]


def test_a_file_is_read_as_what_it_shows_itself_to_be(path: Path) -> None:
    path.write_bytes(jsonl({"instruction": "q", "output": "a"}))
    reading = read(path, filename="rows.jsonl")
    assert (reading.format, reading.container) == (Format.ALPACA, Container.JSONL)
    assert reading.why == "the first row holds instruction and output"
    assert said(list(reading.rows)) == [["q", "a"]]


def test_a_given_format_is_not_asked(path: Path) -> None:
    path.write_bytes(jsonl({"instruction": "q", "output": "a", "text": "whole"}))
    reading = read(path, filename="rows.jsonl", format=Format.TEXT)
    assert reading.why == "given"
    [only] = reading.rows
    assert only.row.example is not None
    assert (only.row.example.sample_type, only.row.example.text) == (SampleType.PRETRAIN, "whole")


def test_json_lines_keep_their_bytes_and_blank_lines_their_numbers(path: Path) -> None:
    row = b'{"messages":  [], "x": 1.0}'
    path.write_bytes(row + b"\n\n  \n" + row + b"\n")
    assert [(r.line, r.raw) for r in read(path, filename="f").rows] == [(1, row), (4, row)]


def test_a_table_is_read_as_its_chats(path: Path) -> None:
    path.write_bytes(gzip.compress(TABLE))
    reading = read(path, filename="chats.csv.gz")
    assert (reading.format, reading.container) == (Format.CHAT_TABLE, Container.CSV)
    found = list(reading.rows)
    assert [r.line for r in found] == [2, 4]
    assert said(found) == [["q", "a"], ["q", "a"]]
    # What curation writes of such a row reads as the same chat.
    again = parse_row(json.loads(found[0].raw), file="f", line=2)
    assert again.example == found[0].row.example


def test_columns_are_read_by_their_templates(path: Path) -> None:
    path.write_bytes(b"title,abstract\nT,A\n")
    columns = Columns.parse(["user={abstract}", "assistant={title}"])
    reading = read(path, filename="f.csv", columns=columns)
    assert reading.format is Format.COLUMNS
    assert said(list(reading.rows)) == [["A", "T"]]


def test_the_format_is_told_from_rows_that_can_be_read(path: Path) -> None:
    path.write_bytes(b"{broken\n" + jsonl(CHAT))
    reading = read(path, filename="f.jsonl")
    assert reading.format is Format.CHAT
    assert [bool(r.row.problems) for r in reading.rows] == [True, False]


def test_a_row_unlike_the_others_is_a_problem_of_that_row(path: Path) -> None:
    path.write_bytes(jsonl(CHAT, CHAT, {"instruction": "q", "output": "a"}))
    found = list(read(path, filename="f.jsonl").rows)
    assert [p.code for p in found[2].row.problems] == ["format_unknown"]


def test_a_file_that_is_not_there_is_a_problem_not_an_exception(path: Path) -> None:
    [only] = read(path, filename="gone.jsonl").rows
    assert [p.code for p in only.row.problems] == ["file_unreadable"]


@pytest.mark.parametrize(
    ("name", "content", "one_by_one"),
    [
        ("f.jsonl", jsonl(CHAT), True),
        ("f.jsonl", gzip.compress(jsonl(CHAT), mtime=0), False),
        ("f.json", json.dumps([CHAT]).encode(), False),
        ("f.jsonl", jsonl({"role": "user", "content": "q"}), False),
    ],
)
def test_only_json_lines_of_whole_rows_are_read_line_by_line(
    path: Path, name: str, content: bytes, one_by_one: bool
) -> None:
    path.write_bytes(content)
    assert tell(path, filename=name).row_by_row is one_by_one


def test_reading_rows_one_by_one_is_reading_the_file(path: Path) -> None:
    path.write_bytes(jsonl(CHAT, {"messages": "x"}, {"text": "t"}))
    told = tell(path, filename="f.jsonl")
    for each in rows(path, told, filename="f.jsonl"):
        row = parse_row(each.value, file="f.jsonl", line=each.line, format=told.format)
        assert row == each.row


@pytest.mark.parametrize(
    "given_",
    [
        {"format": Format.COLUMNS},
        {"format": Format.CHAT, "columns": Columns((("text", "{a}"),))},
    ],
)
def test_columns_and_formats_that_do_not_go_together_are_refused(path: Path, given_: Any) -> None:
    path.write_bytes(jsonl(CHAT))
    with pytest.raises(InvalidInput):
        read(path, filename="f.jsonl", **given_)
    if "columns" not in given_:
        with pytest.raises(InvalidInput):
            parse_row(CHAT, file="f", line=1, **given_)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (CHAT, SampleType.INSTRUCT),
        ({"text": "t"}, SampleType.PRETRAIN),
        ({"text": "t", "label": "l"}, SampleType.CLASSIFIER),
        ({"prompt": "q", "chosen": "a", "rejected": "b"}, SampleType.PREFERENCE),
        ({"system": "SYSTEM: s", "chat": "USER: q\n\n\nASSISTANT: a"}, SampleType.INSTRUCT),
    ],
)
def test_a_row_alone_tells_its_format(value: Any, kind: SampleType) -> None:
    row = parse_row(value, file="f", line=1)
    assert row.example is not None
    assert row.example.sample_type is kind


KEYS = [
    "messages",
    "conversations",
    "role",
    "content",
    "from",
    "value",
    "text",
    "labels",
    "label",
    "prompt",
    "completion",
    "chosen",
    "rejected",
    "input",
    "output",
    "instruction",
    "instances",
    "history",
    "tools",
    "tool_calls",
    "function",
    "name",
    "arguments",
    "system",
    "chat",
    "weight",
    "type",
    "preferred_output",
    "non_preferred_output",
    "context",
    "question",
    "answer",
]
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-1, 2)
    | st.floats(allow_nan=False)
    | st.sampled_from(["user", "assistant", "tool", "human", "gpt", "function_call", "{}", "[", ""])
    | st.text(max_size=6)
)
anything = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)
        | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=15,
)
formats = st.sampled_from([None, *(f for f in Format if f is not Format.COLUMNS)])


@settings(max_examples=600, deadline=None)
@given(anything, formats)
def test_any_value_is_an_example_or_problems_in_every_format(
    value: Any, format: Format | None
) -> None:
    row = parse_row(value, file="f", line=3, format=format)
    assert (row.example is None) == bool(row.problems)
    assert all(p.code and p.line == 3 and p.message for p in row.problems)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=120), st.sampled_from(["f.jsonl", "f.json", "f.csv", "f"]))
def test_any_bytes_are_rows_or_problems(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, name: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(content)
    for each in read(path, filename=name).rows:
        assert each.row.example is not None or each.row.problems
