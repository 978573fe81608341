from __future__ import annotations

import json
from pathlib import Path

import pytest

from modiste.prepare.checks.findings import Input, check_files

GOOD = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}


@pytest.fixture
def write(tmp_path: Path):
    def make(name: str, *lines: object) -> Input:
        path = tmp_path / name
        said = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        path.write_text("\n".join(said) + "\n")
        return Input(path, name)

    return make


def test_the_json_of_findings_has_the_shape_that_is_promised(write):
    answer = check_files([write("a.jsonl", GOOD, "{oops")]).to_json()

    assert answer["ok"] is False
    (file,) = answer["files"]
    assert (file["file"], file["format"], file["rows"]) == ("a.jsonl", "chat", 2)
    (problem,) = file["problems"]
    assert problem.items() >= {"line": 2, "path": "", "code": "json_invalid"}.items()
    assert problem.keys() >= {"severity", "value", "message", "hint"}


def test_warnings_leave_the_answer_ok(write):
    findings = check_files([write("a.jsonl", GOOD, GOOD)])

    assert findings.ok
    assert [p.code for p in findings.problems] == ["row_repeated"]


def test_every_file_is_told_with_its_use(write):
    said = check_files([write("a.jsonl", GOOD)], validation=[write("b.jsonl", "{")]).to_json()

    assert [(f["file"], f["use"]) for f in said["files"]] == [
        ("a.jsonl", "train"),
        ("b.jsonl", "validation"),
    ]
