"""A report is told by kind, errors first, and nothing is left out without its number."""

from __future__ import annotations

import pytest

from modiste.cli.report_text import line_list, print_report


def problem(line, code="role_unknown", severity="error", **more):
    given = {"path": "messages[0].role", "message": "messages[0].role is 'bot'", "value": None}
    return {"line": line, "code": code, "severity": severity, "hint": None, **given, **more}


def report(*problems, rows=100, ok=False):
    bad = {p["line"] for p in problems if p["severity"] == "error" and p["line"] is not None}
    file = {"file": "a.jsonl", "format": "chat", "rows": rows, "bad_rows": len(bad)}
    file["problems"] = list(problems)
    return {"ok": ok, "files": [file]}


@pytest.fixture
def told(capsys):
    def of(made, **options):
        print_report(made, **options)
        return capsys.readouterr().out

    return of


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ([], ""),
        ([4], "4"),
        ([9, 4, 5, 6, 6], "4–6, 9"),
        ([1, 3, 5, 7, 8, 9], "1, 3 and 4 more"),
    ],
)
def test_lines_are_told_as_runs(numbers, said):
    assert line_list(numbers, most=2) == said


def test_of_many_like_problems_the_lines_are_named(told):
    out = told(report(*(problem(line, hint="use user") for line in range(1, 9))))

    assert "error role_unknown ×8" in out
    assert "… and 5 more on lines 4–8 (--all tells them)" in out
    assert out.count("→ use user") == 1
    assert "not ok: 8 rows of 100 may not be trained on" in out


def test_all_of_them_are_told_when_asked(told):
    out = told(report(*(problem(line) for line in range(1, 9))), everything=True)

    assert out.count("messages[0].role is 'bot'") == 8


def test_path_and_value_are_added_where_the_message_lacks_them(told):
    out = told(report(problem(3, message="is not JSON", path="tools[0]", value="{x")))

    assert "line 3  tools[0]: is not JSON  [{x]" in out


def test_warnings_leave_a_file_good(told):
    out = told(report(problem(3, severity="warning"), ok=True))

    assert "✓ a.jsonl" in out
    assert "ok: all 100 rows may be trained on" in out


def test_a_problem_of_the_whole_file_needs_no_line(told):
    out = told(report(problem(None, "file_empty", message="the file holds no rows", path="")))

    assert "    the file holds no rows" in out
    assert "not ok: a.jsonl" in out


def test_names_and_values_cannot_steer_the_terminal(told):
    out = told(report(problem(1, message="\x1b[2Jboo", value="\x07")))

    assert "\x1b" not in out
    assert "\x07" not in out
