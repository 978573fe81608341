from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modiste.prepare.checks import blocks
from modiste.prepare.checks import file as checks
from modiste.prepare.checks.file import check_file, json_problems
from modiste.types import SampleType, Severity

GOOD = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
RANDOM = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def write(tmp_path: Path):
    def make(*lines: object) -> Path:
        path = tmp_path / "train.jsonl"
        said = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        path.write_text("\n".join(said) + "\n")
        return path

    return make


def check(path: Path, **options):
    return check_file(path, filename="train.jsonl", **options)


def found(report):
    return [(p.line, p.path, p.code) for p in report.problems]


def test_a_good_file_is_counted(write, tiny):
    report = check(write(GOOD, GOOD | {"tools": []}), renderer=tiny)

    one = tiny.prompt([m("user", "q")])
    assert (report.n_lines, report.n_examples, report.n_samples) == (2, 2, 2)
    assert report.sample_type is SampleType.INSTRUCT
    # <s>[INST]q[/INST]a</s>: the answer and its end are trained.
    assert report.n_tokens == 2 * (len(one) + 2)
    assert report.n_trained_tokens == 2 * 2
    assert report.longest_sample == len(one) + 2
    assert report.problems == ()
    assert report.bad_lines == frozenset()


def test_every_problem_of_every_line_is_told(write):
    report = check(
        write(
            GOOD,
            "{oops",
            {"messages": [{"role": "bot", "content": "x"}, {"role": "user", "content": 7}]},
            {"messages": [{"role": "user", "content": "q"}]},
            GOOD | {"id": 1},
        )
    )

    assert found(report) == [
        (2, "", "json_invalid"),
        (3, "messages[0].role", "role_unknown"),
        (3, "messages[1].content", "content_type"),
        (4, "messages[0].role", "last_role"),
        (5, "id", "key_ignored"),
    ]
    assert report.bad_lines == {2, 3, 4}
    assert (report.n_lines, report.n_examples) == (5, 2)


def test_warnings_of_one_kind_are_told_once_and_spoil_no_line(write):
    report = check(write(*[GOOD | {"source": at} for at in range(5)], ""))

    assert [p.severity for p in report.problems] == [Severity.WARNING] * 2
    assert str(report.warnings[0]) == (
        "train.jsonl line 1: the key source is not read (and 4 more lines like this)"
    )
    assert report.warnings[1].code == "blank_line"
    assert report.errors == ()
    assert report.n_lines == 5


def test_a_row_that_comes_again_is_a_warning(write):
    report = check(write(GOOD, GOOD | {"messages": GOOD["messages"] * 2}, GOOD))

    assert found(report) == [(3, "", "row_repeated")]
    assert "repeats line 1" in report.problems[0].message


def test_a_conversation_longer_than_a_sequence_is_an_error(write, tiny):
    long = {"messages": [m_dict("user", "q" * 500), m_dict("assistant", "a")]}

    report = check(write(GOOD, long), renderer=tiny, seq_len=64)

    assert found(report) == [(2, "", "too_long")]
    assert report.problems[0].hint == "shorten it or raise the sequence length"
    assert report.longest_sample < 64
    assert report.bad_lines == {2}


def test_a_long_plain_text_is_cut_not_refused(write, tiny):
    report = check(write({"text": "word " * 200}), renderer=tiny, seq_len=64)

    (said,) = report.warnings
    assert (said.code, said.line, report.errors) == ("text_cut", 1, ())
    assert said.message.endswith(f"trained as {report.n_samples} pieces")
    assert report.sample_type is SampleType.PRETRAIN
    assert report.n_samples > 1
    assert report.longest_sample == 64


def test_chats_and_texts_do_not_mix_in_one_file(write):
    assert found(check(write(GOOD, {"text": "words"}))) == [(2, "", "sample_type_mixed")]


def test_a_row_with_nothing_to_train_is_a_warning_and_a_file_of_them_an_error(write, tiny):
    masked = {"messages": [m_dict("user", "q"), m_dict("assistant", "a") | {"weight": 0}]}

    some = check(write(GOOD, masked), renderer=tiny)
    none = check(write(masked), renderer=tiny)

    assert [(p.code, p.severity) for p in some.problems] == [
        ("no_trained_tokens", Severity.WARNING)
    ]
    assert [p.code for p in none.errors] == ["no_trainable_tokens"]


def test_turns_that_cannot_be_served_are_pointed_out(write, tiny):
    opens = {"messages": [m_dict("assistant", "Hello"), *GOOD["messages"]]}
    mixed = {
        "messages": [
            m_dict("user", "q"),
            m_dict("assistant", "a") | {"weight": 0},
            m_dict("assistant", "b") | {"weight": 1},
            *GOOD["messages"],
        ]
    }

    report = check(write(opens, mixed), renderer=tiny)

    assert found(report) == [
        (1, "messages[0]", "turn_not_trained"),
        (2, "messages[1]", "turn_not_trained"),
    ]


def test_the_rules_of_the_base_apply_when_its_renderer_is_given(write, v3):
    call = {"id": "call_1", "function": {"name": "f", "arguments": "{}"}}
    row = {
        "messages": [
            m_dict("user", "q"),
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "content": "r", "tool_call_id": "call_1"},
            m_dict("assistant", "a"),
        ]
    }

    assert check(write(row)).problems == ()
    assert found(check(write(row), renderer=v3.ours)) == [
        (1, "messages[1].tool_calls[0].id", "tool_call_id"),
        (1, "messages[2].tool_call_id", "tool_call_id"),
    ]


@pytest.mark.parametrize("content", [b"", b"\n\n \n"])
def test_a_file_without_rows_says_so(tmp_path, content):
    path = tmp_path / "train.jsonl"
    path.write_bytes(content)

    assert [p.code for p in check(path).errors] == ["file_empty"]
    assert [p.code for p in json_problems(path, "train.jsonl").problems] == ["file_empty"]


def test_an_upload_is_only_asked_whether_it_is_json_lines(write):
    report = json_problems(write(GOOD, "{", {"messages": 3}, "", "nope"), "train.jsonl")

    assert found(report) == [(2, "", "json_invalid"), (5, "", "json_invalid")]
    assert (report.n_lines, report.n_examples) == (4, 2)
    assert report.sample_type is SampleType.INSTRUCT


def test_a_file_of_nonsense_is_counted_beyond_what_is_told(write, monkeypatch):
    monkeypatch.setattr(checks, "MAX_PROBLEMS", 10)

    report = check(write(*["{"] * 100))

    assert len(report.problems) == 11
    assert report.problems[-1].message == "and 90 more problems; 100 lines are bad"
    assert len(report.bad_lines) == 100


def test_reading_stops_where_nothing_good_can_come(write, monkeypatch):
    monkeypatch.setattr(checks, "MAX_BAD_LINES", 10)

    report = check(write(*["{"] * 100))

    assert report.problems[-1].code == "too_many_bad_lines"
    assert report.n_lines == 10


@given(data=st.binary(max_size=300))
@RANDOM
def test_no_bytes_make_a_check_raise(tmp_path, tiny, v3, data):
    path = tmp_path / "bytes.jsonl"
    path.write_bytes(data)

    for renderer in (None, tiny, v3.ours):
        report = check_file(path, filename="bytes.jsonl", renderer=renderer, seq_len=64)
        assert report.problems, "no random bytes are a training file"


TEXT = st.text(max_size=4) | st.sampled_from(["q", "\ud800", "[INST]", "abcdefghi", "[" * 2000])
CALL = st.fixed_dictionaries(
    {"function": st.fixed_dictionaries({"name": TEXT, "arguments": TEXT | st.just("{}")})},
    optional={"id": TEXT, "type": TEXT},
)
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool"]) | TEXT},
    optional={
        "content": TEXT | st.none(),
        "tool_calls": st.lists(CALL, max_size=2),
        "tool_call_id": TEXT,
        "weight": st.sampled_from([0, 1, 2, None]),
        "name": TEXT,
        "prefix": st.booleans(),
    },
)
TOOL = st.fixed_dictionaries(
    {"function": st.fixed_dictionaries({"name": TEXT, "parameters": st.just({}) | TEXT})}
)
ROW = st.fixed_dictionaries(
    {"messages": st.lists(MESSAGE, max_size=5)}, optional={"tools": st.lists(TOOL, max_size=2)}
)


@given(rows=st.lists(ROW, max_size=4))
@RANDOM
def test_no_row_makes_a_check_raise_and_each_is_either_good_or_bad(tmp_path, pair, rows):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    report = check_file(path, filename="rows.jsonl", renderer=pair.ours, seq_len=4_096)

    assert report.n_lines == len(rows)
    assert report.n_examples + len(report.bad_lines) == len(rows)


def m_dict(role: str, content: str) -> dict[str, object]:
    return {"role": role, "content": content}


def m(role: str, content: str):
    from modiste.types import Message, Role

    return Message(Role(role), content)


def bytes_file(tmp_path: Path, *parts: bytes) -> Path:
    path = tmp_path / "train.jsonl"
    path.write_bytes(b"".join(parts))
    return path


ROW_BYTES = json.dumps(GOOD).encode()
NOISE = random.Random(5).randbytes(20_000)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\xef\xbb\xbf" + ROW_BYTES + b"\r\n", []),
        (ROW_BYTES, []),
        (ROW_BYTES + b"\n" + json.dumps(GOOD).encode("utf-16"), [(2, "", "not_utf8")]),
        (json.dumps(GOOD).encode("utf-16"), [(1, "", "file_not_text")]),
        (json.dumps(GOOD | {"x": "é"}, ensure_ascii=False).encode("latin-1"), ["not_utf8"]),
        (ROW_BYTES + b"\n\0\0\0\0", [(2, "", "json_invalid")]),
        (ROW_BYTES.replace(b'"q"', b'"\0"'), [(1, "", "json_invalid")]),
        (ROW_BYTES.replace(b'"q"', b'"\\ud83d"'), [(1, "", "json_invalid")]),
        (ROW_BYTES.replace(b'"q"', b"NaN"), [(1, "", "json_invalid")]),
        (b'{1: "q"}', [(1, "", "json_invalid")]),
        (ROW_BYTES.replace(b'"q"', b'"q", "content": "p"'), ["key_repeated"]),
        (b"[" * 10_000 + b"]" * 10_000, [(1, "", "json_invalid")]),
        (b'{"messages": ' + b"[" * 600 + b"]" * 600 + b"}", [(1, "", "nested_too_deep")]),
        (ROW_BYTES[:-9], [(1, "", "json_invalid")]),
        (gzip.compress(ROW_BYTES * 1), []),
        (gzip.compress(ROW_BYTES + b"\n" + NOISE)[:-5_000], ["gzip_truncated"]),
        (b"PK\x03\x04" + bytes(60), [(1, "", "file_not_text")]),
    ],
)
def test_whatever_the_bytes_are_it_is_said(tmp_path, content, expected):
    report = check(bytes_file(tmp_path, content))
    told = found(report)

    if expected and isinstance(expected[0], str):
        told = [code for _, _, code in told if code in expected]
    assert told == expected
    assert bool(report.errors) == bool(expected)


@pytest.mark.slow
def test_a_line_of_200_megabytes_is_one_problem_and_the_next_line_is_read(tmp_path):
    path = bytes_file(tmp_path, b'{"text": "', b"x" * 200_000_000, b'"}\n', ROW_BYTES, b"\n")

    report = check(path, workers=2)

    assert found(report) == [(1, "", "line_too_long")]
    assert (report.n_lines, report.n_examples) == (2, 1)


def mixed_rows(n: int) -> list[object]:
    """Rows of every fate: good, repeated, bad in several ways, of another kind, too long."""
    rows: list[object] = []
    for at in range(n):
        words = " ".join(f"w{at}x{k}" for k in range(30))
        rows.append(
            [
                {"messages": [m_dict("user", words), m_dict("assistant", f"a {at} b@c{at}.com")]},
                GOOD | {"id": at},
                GOOD,
                "{broken",
                "",
                {"messages": [m_dict("user", "q"), m_dict("bot", "a")]},
                {"text": "another kind"},
                {"messages": [m_dict("user", words * 40), m_dict("assistant", "a")]},
                {"messages": [m_dict("user", f"q {at}"), m_dict("assistant", "a") | {"weight": 0}]},
            ][at % 9]
        )
    return rows


def test_two_processes_say_what_one_says(write, tiny, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 2_000)
    monkeypatch.setattr(checks, "MAX_PROBLEMS", 40)
    path = write(*mixed_rows(300))

    one = check(path, renderer=tiny, seq_len=512)
    two = check(path, renderer=tiny, seq_len=512, workers=2)

    assert two == one
    assert two.to_json() == one.to_json()
    assert {p.code for p in one.problems} >= {
        "json_invalid", "blank_line", "role_unknown", "sample_type_mixed", "too_long",
        "row_repeated", "key_ignored", "no_trained_tokens", "more_problems",
    }  # fmt: skip


def test_blocks_of_any_size_say_the_same(write, tiny, monkeypatch):
    path = write(*mixed_rows(60))
    whole = check(path, renderer=tiny, seq_len=512)

    for size in (1, 100, 5_000):
        monkeypatch.setattr(blocks, "BLOCK_BYTES", size)
        assert check(path, renderer=tiny, seq_len=512).to_json() == whole.to_json()


def test_packed_files_and_other_containers_are_checked_alike(tmp_path, write):
    plain = write(*mixed_rows(30))
    packed = tmp_path / "packed.jsonl.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    listed = tmp_path / "rows.json"
    listed.write_text(json.dumps([GOOD, {"messages": [m_dict("user", "q")]}]))

    assert found(check(packed)) == found(check(plain))
    assert [p.code for p in check_file(listed, filename="rows.json").errors] == ["last_role"]


def test_progress_is_told_while_a_file_is_read(write, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 1_000)
    seen = []

    check(write(*[GOOD] * 100), on_progress=seen.append)

    assert len(seen) > 3
    assert [p.done_bytes for p in seen] == sorted(p.done_bytes for p in seen)
    assert seen[-1].done_bytes == seen[-1].total_bytes
