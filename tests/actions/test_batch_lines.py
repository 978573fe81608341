"""The lines of a batch: all that is wrong with them is told, with line, field and value."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modiste.actions import batch_lines
from modiste.actions.batch_lines import Checked, Input, ask_of, check, found_in

CHAT = "/v1/chat/completions"


def line(custom_id: Any = "a", **body: Any) -> dict[str, Any]:
    return {"custom_id": custom_id, "body": {"messages": [], **body}}


def openai_line(custom_id: Any = "a", **body: Any) -> dict[str, Any]:
    return {**line(custom_id, model="known", **body), "method": "POST", "url": CHAT}


@pytest.fixture
def checked(tmp_path: Path) -> Any:
    def look(*lines: Any, strict: bool = False, model: str | None = "known") -> Checked:
        path = tmp_path / "in.jsonl"
        texts = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in lines]
        path.write_bytes(b"\n".join(texts))
        return check(
            found_in([Input("in.jsonl", path)]),
            endpoint=CHAT,
            strict=strict,
            model=model,
            why_not=lambda name: None if name == "known" else f"no model {name}",
        )

    return look


def told(found: Checked) -> list[tuple[int | None, str, str]]:
    return [(problem.line, problem.path, problem.code) for problem in found.problems]


def test_lines_of_both_vendors_are_fine(checked: Any) -> None:
    assert checked(line("a"), b"", line("b", model="known")) == Checked(2, (), 0)
    assert checked(openai_line("a"), openai_line("b"), strict=True, model=None).problems == ()


def test_every_problem_of_every_line_is_told_at_once(checked: Any) -> None:
    found = checked(
        b"{nope",
        ["list"],
        {"custom_id": 7, "body": "text", "extra": 1},
        line("a", stream=True),
        line("a", model="other"),
        {**line("c"), "method": "GET", "url": "/v1/embeddings"},
    )
    assert found.n_requests == 6
    assert told(found)[1:] == [
        (2, "", "not_an_object"),
        (3, "extra", "unknown_field"),
        (3, "custom_id", "custom_id_invalid"),
        (3, "body", "body_invalid"),
        (4, "body.stream", "stream_not_allowed"),
        (5, "custom_id", "duplicate_custom_id"),
        (5, "body.model", "model_mismatch"),
        (6, "method", "invalid_method"),
        (6, "url", "invalid_url"),
    ]
    assert found.problems[0].line == 1
    assert str(found.problems[2]).startswith("in.jsonl line 3: 'extra' is no field of a line")
    assert "custom_id is 7" in found.problems[3].message
    assert "'a' is also that of request 4" in found.problems[6].message
    assert "'/v1/embeddings', expected '/v1/chat/completions'" in found.problems[9].message


def test_openai_insists_on_all_four_fields_and_a_model_in_each_body(checked: Any) -> None:
    found = checked({"body": {"messages": []}}, strict=True, model=None)
    assert [path for _, path, _ in told(found)] == ["custom_id", "method", "url", "body.model"]


def test_a_model_that_is_not_here_is_told_for_each_line_and_looked_up_once(
    tmp_path: Path,
) -> None:
    asked: list[str] = []

    def why_not(name: str) -> str | None:
        asked.append(name)
        return f"no model {name}"

    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps(line(str(n), model="gone")) + "\n" for n in range(3)))
    lines = found_in([Input("in.jsonl", path)])
    found = check(lines, endpoint=CHAT, strict=False, model=None, why_not=why_not)
    assert told(found) == [(n, "body.model", "model_not_found") for n in (1, 2, 3)]
    assert asked == ["gone"]


def test_no_request_at_all_is_a_problem(checked: Any) -> None:
    assert told(checked(b"", b"  ")) == [(None, "", "empty_batch")]


def test_problems_beyond_those_told_are_counted(
    checked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_lines, "MAX_TOLD", 2)
    found = checked(*[b"[1]"] * 5)
    assert (len(found.problems), found.n_problems) == (2, 5)


def test_too_many_requests_end_the_reading(checked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_lines, "MAX_REQUESTS", 3)
    found = checked(*[line(str(n)) for n in range(9)])
    assert told(found) == [(4, "", "too_many_requests")]


def test_a_line_that_runs_has_a_name_and_a_model(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    lines = [{"body": {}}, {"custom_id": "x", "body": {"model": None}}, line("y", model="own")]
    path.write_text("".join(json.dumps(each) + "\n" for each in lines))
    asks = [ask_of(found, model="all") for found in found_in([Input("a", path), Input("b", path)])]
    assert [(ask.n, ask.custom_id, ask.body["model"]) for ask in asks[:4]] == [
        (0, "0", "all"),
        (1, "x", "all"),
        (2, "y", "own"),
        (3, "3", "all"),
    ]
