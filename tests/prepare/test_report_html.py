"""One page that needs nothing but itself, says everything once, and trusts nothing in the data."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modiste.prepare.checks.findings import Input, check_files
from modiste.prepare.preview import preview
from modiste.prepare.report_html import kinds, page

VOID = {"meta", "br", "hr", "line", "rect"}


class Tags(HTMLParser):
    """Whether tags close in the order they were opened, and which words are text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.words: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag, attributes):
        self.seen.add(tag)
        self.links += [value for name, value in attributes if name in ("href", "src")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.seen.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.words.append(data)


def read(text):
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    return tags


def problem(line=3, code="role_unknown", severity="error", **more):
    given = {"path": "messages[0].role", "message": "messages[0].role is 'bot'", "value": "bot"}
    return {"line": line, "code": code, "severity": severity, "hint": "use user", **given, **more}


def report(*problems, **more):
    file = {"file": "data/a.jsonl", "format": "chat", "rows": 10, "problems": list(problems)}
    return {"ok": not problems, "files": [file | more]}


@pytest.fixture
def checked(tmp_path, tiny):
    path = tmp_path / "a.jsonl"
    turns = [{"role": "user", "content": "<b>q</b>"}, {"role": "assistant", "content": "a & b"}]
    longer = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "why not?"}]
    rows = [{"messages": turns}, {"messages": longer}] * 6 + [
        {"messages": [{"role": "bot", "content": "x"}]}
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = check_files([Input(path, "a.jsonl")], renderer=tiny, seq_len=64).to_json()
    made = preview(path, filename="a.jsonl", renderer=tiny, seq_len=64).to_json()
    return found | {"files": [found["files"][0] | {"preview": made}], "seq_len": 64}


def test_a_checked_file_becomes_a_whole_page(checked):
    text = page(checked)
    tags = read(text)

    said = " ".join(tags.words)
    for part in (
        "a.jsonl",
        "Problems",
        "role_unknown",
        "Statistics",
        "What is trained",
        "not ready",
    ):
        assert part in said
    assert {"svg", "details", "table"} <= tags.seen


def test_the_page_runs_no_script_and_fetches_nothing(checked):
    text = page(checked)
    tags = read(text)

    assert "script" not in tags.seen
    assert all(link.startswith("#") for link in tags.links)
    assert "default-src 'none'" in text


def test_problems_of_one_kind_stand_together_errors_first():
    found = kinds([problem(1, "a", "warning"), problem(2, "b"), problem(3, "c"), problem(4, "c")])

    assert [(severity, code) for severity, code, _ in found] == [
        ("error", "c"),
        ("error", "b"),
        ("warning", "a"),
    ]


def test_the_path_is_not_said_twice_and_empty_columns_are_left_out():
    tags = read(page(report(problem(message="messages[0].role: is 'bot'", value=None))))

    assert "is 'bot'" in tags.words
    assert "value" not in tags.words
    assert "field" in tags.words


def test_of_very_many_problems_the_rest_is_counted():
    text = page(report(*(problem(line) for line in range(1, 1001))))

    assert "… and 800 more." in text
    assert text.count("<tr><td") == 200


def test_without_a_tokenizer_the_page_says_so():
    assert "Checked without a tokenizer" in page(report())
    made = page(report() | {"tokenizer": {"model": "v3", "files": "x.model"}, "seq_len": 4096})
    assert "Tokens of v3 (x.model); sequences of at most 4,096 tokens." in made


def test_estimates_are_a_table_without_empty_columns():
    rows = [
        {"base": "modiste-tiny", "steps": "300", "cost": "", "rests on": "measured here"},
        {"base": "open-mistral-7b", "steps": "", "cost": "", "rests on": "assumed"},
    ]

    words = set(read(page(report(), estimates=rows)).words)

    assert {"modiste-tiny", "300", "open-mistral-7b", "–", "steps"} <= words
    assert "cost" not in words


@settings(max_examples=30, deadline=None)
@given(st.text(), st.text(), st.text())
def test_whatever_the_data_holds_is_text(message, value, name):
    made = page(report(problem(message=message, value=value, hint=value), why=name, file=name))

    tags = read(made)
    assert "script" not in tags.seen
    assert tags.links == []
