from __future__ import annotations

import json
from pathlib import Path

import pytest

from modiste.prepare.checks.findings import Input, check_files
from modiste.prepare.checks.validation import MAX_VALIDATION_BYTES, size_problem
from modiste.types import Severity


@pytest.fixture
def write(tmp_path: Path):
    def make(name: str, *pairs: tuple[str, str]) -> Input:
        path = tmp_path / name
        rows = [
            {"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]}
            for q, a in pairs
        ]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return Input(path, name)

    return make


LONG = " ".join(f"word{n}" for n in range(60))


def leaked(findings):
    return [(p.line, p.code, p.message) for p in findings.problems if p.code.startswith("leaked")]


def test_a_validation_row_that_is_trained_on_is_told_with_both_places(write):
    train = [write("a.jsonl", ("one", "1")), write("b.jsonl", ("two", "2"), ("three", "3"))]
    validation = write("v.jsonl", ("four", "4"), ("three", "3"))

    findings = check_files(train, validation=[validation])

    assert leaked(findings) == [
        (2, "leaked_row", "the row is line 2 of b.jsonl, which is trained on")
    ]
    assert findings.ok


def test_case_and_spacing_do_not_hide_a_leak_and_near_twins_are_named(write):
    train = write("t.jsonl", ("What is the capital?", "Paris"), ("q", LONG))
    validation = write("v.jsonl", ("WHAT is  the capital?", "paris"), ("q", LONG + " and more"))

    found = leaked(check_files([train], validation=[validation]))

    assert [(line, code) for line, code, _ in found] == [(1, "leaked_row"), (2, "leaked_nearly")]
    assert "but for case and spacing" in found[0][2]
    assert "alike" in found[1][2]


def test_files_that_share_nothing_leak_nothing(write):
    train, validation = write("t.jsonl", ("one", LONG)), write("v.jsonl", ("two", LONG[::-1]))

    assert leaked(check_files([train], validation=[validation])) == []


def test_a_row_of_an_earlier_training_file_is_a_repeat(write):
    first, second = write("a.jsonl", ("x", "1"), ("y", "2")), write("b.jsonl", ("y", "2"))

    findings = check_files([first, second])

    assert [(p.file, p.line, p.code, p.message) for p in findings.problems] == [
        ("b.jsonl", 1, "row_repeated", "the row repeats line 2 of a.jsonl")
    ]


def test_validation_files_above_the_limit_are_an_error_and_above_the_share_a_warning():
    def told(n_bytes: int, trained: int):
        found = size_problem(n_bytes, trained_bytes=trained, names=["v.jsonl"])
        return found and (found.code, found.severity)

    assert told(MAX_VALIDATION_BYTES + 1, 10**9) == ("validation_too_large", Severity.ERROR)
    assert told(60, 1_000) == ("validation_share", Severity.WARNING)
    assert told(50, 1_000) is None


def test_the_size_is_told_with_the_validation_file(write):
    train = write("t.jsonl", ("one", "1"))
    large = write("v.jsonl", *[(str(n), "x" * 1_000) for n in range(1_100)])

    findings = check_files([train], validation=[large], near=False)

    assert findings.validation[0].errors[0].code == "validation_too_large"
    assert not findings.ok
