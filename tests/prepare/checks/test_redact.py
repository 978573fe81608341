from __future__ import annotations

import json

import pytest

from modiste.prepare.checks.file import check_file
from modiste.prepare.checks.redact import masked, redacted
from modiste.types import Problem

KEY = "ghp_" + "abcdefghijklmnopqrstuvwxyzABCDEFGH12"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"token={KEY}", "token=ghp_…12"),
        ("mail joe.miller@acme-corp.com now", "mail joe.…om now"),
        ("pay 4111 1111 1111 1111", "pay 4111…11"),
        ("messages[0].role is 'bot'", "messages[0].role is 'bot'"),
        ("the row takes 11,602 tokens, more than 8,192", None),
    ],
)
def test_what_is_private_is_masked_and_the_rest_is_left(text, shown):
    assert masked(text) == (shown or text)


def test_a_problem_without_secrets_is_left_as_it_is():
    problem = Problem("f", 1, "", "json_invalid", "not valid JSON", value='{"a": tru}')

    assert redacted(problem) is problem


def test_no_error_shows_a_secret_whole(tmp_path):
    call = {"id": "a", "function": {"name": "f", "arguments": f"token={KEY}"}}
    rows = [
        json.dumps({"messages": [{"role": "assistant", "tool_calls": [call]}]}),
        f'{{"a": "x", {KEY}: 1}}',
        json.dumps({"messages": [{"role": KEY, "content": "x"}]}),
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(rows))

    report = check_file(path, filename="rows.jsonl")

    assert len(report.bad_lines) == 3
    assert KEY not in str(report.to_json())
