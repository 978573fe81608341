"""docs/data-rules.md: each numbered row of its table is checked, and says what the table says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import mistral_common
import pytest

from modiste.prepare.checks.file import check_file
from modiste.prepare.render_mistral import MistralRenderer

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "data-rules.md").read_text(encoding="utf-8")
V3 = Path(mistral_common.__file__).parent / "data" / "mistral_instruct_tokenizer_240323.model.v3"

Q, A, S = ({"role": r, "content": r[0]} for r in ("user", "assistant", "system"))


def tool(**function: Any) -> dict[str, Any]:
    known = {"name": "f", "description": "d", "parameters": {"required": ["x"]}}
    named = {name: v for name, v in (known | function).items() if v is not None}
    return {"type": "function", "function": named}


def call(id: str | None = "abcdefghi", name: str = "f", arguments: Any = '{"x": 1}') -> Any:
    made = {"id": id, "function": {"name": name, "arguments": arguments}}
    return {"role": "assistant", "tool_calls": [made]}


def result(id: str | None = "abcdefghi") -> dict[str, Any]:
    return {"role": "tool", "content": "r", "tool_call_id": id}


def chat(*messages: Any, **more: Any) -> dict[str, Any]:
    return {"messages": list(messages), **more}


def tools(*messages: Any) -> dict[str, Any]:
    return chat(*messages, tools=[tool()])


LESS = {"role": "assistant", "tool_calls": [{"id": "abcdefghi", "function": {"name": "f"}}]}
TWICE = {"role": "assistant", "tool_calls": call()["tool_calls"] * 2}
ROWS: dict[int, Any] = {
    1: {"colour": "red"},
    2: chat(Q, A, interactions=[Q, A]),
    3: {"messages": None},
    4: chat(Q, A, tools=[tool()], available_tools=[tool()]),
    5: chat(Q, A, tools=[{"type": "function"}]),
    6: chat(Q, A, tools=[tool(name=None)]),
    7: chat(Q, A, tools=[tool(description=None)]),
    8: chat(Q, A, tools=[tool(parameters=None)]),
    9: chat(Q, A, tools=[tool(parameters="x")]),
    10: chat(Q, A, tools=[tool(parameters={"type": "nonsense"})]),
    11: chat(Q, A, tools=[tool(name="f g")]),
    12: chat({"content": "q"}, A),
    13: chat({"role": "bot", "content": "q"}, A),
    14: chat(Q | {"text": "q"}, A),
    15: chat({"role": "user"}, A),
    16: chat({"role": "user", "content": 3}, A),
    17: chat(S, S, Q, A),
    18: chat(S, Q, A, system_prompt="s"),
    19: tools(Q, call(None), result(), A),
    20: tools(Q, {"role": "assistant", "tool_calls": [{"id": "abcdefghi"}]}),
    21: tools(Q, LESS),
    22: tools(Q, call(arguments={"x": 1}), result(), A),
    23: tools(Q, call(arguments="{'x': 1}"), result(), A),
    24: tools(Q, call(), result(None), A),
    25: tools(Q, call("call_1"), result("call_1"), A),
    26: tools(Q, call("null"), result(), A),
    27: tools(Q, call(None)),
    28: chat(),
    29: chat(S),
    30: chat(A),
    31: chat(Q, A, Q),
    32: tools(Q, result(), A),
    33: chat(Q, A, S, Q, A),
    34: chat(Q, S, A),
    35: tools(Q, call(), result(), Q, A),
    36: tools(Q, call() | {"content": "c"}, result(), A),
    37: chat(Q, A | {"content": ""}),
    38: chat(Q | {"content": ""}, A),
    39: chat(Q, A | {"weight": 2}),
    40: chat(Q, A | {"weight": "x"}),
    41: chat(Q | {"weight": 0}, A),
    42: tools(Q, call(), A),
    43: tools(Q, call(), result(), result(), A),
    44: tools(Q, call(), result("zzzzzzzzz"), A),
    45: tools(Q, TWICE, result(), result(), A),
    46: tools(Q, call(name="g"), result(), A),
    47: tools(Q, call(arguments="{}"), result(), A),
    48: chat(Q, A, tools=[tool(), tool()]),
    49: chat(A, Q, A),
    50: chat(Q, A | {"weight": 0}, A, Q, A),
    51: chat(Q, A | {"weight": 0}),
    52: chat(Q, A | {"prefix": True}),
    53: chat({"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}, A),
    54: chat(Q, A, functions=[]),
    55: {"text": "t", "content": "t"},
    56: {"text": 3},
    57: {"text": ""},
    58: [1],
    59: chat(Q, A, prompt_id="7"),
    60: {"text": "plain"},
}  # fmt: skip


def table() -> list[tuple[int, str, str]]:
    """Number, fault and what Modiste says of each row of the table."""
    cells = [line.strip("|").split("|") for line in PAGE.splitlines() if re.match(r"\| \d", line)]
    return [(int(row[0]), row[1].strip(), row[4].strip()) for row in cells]


@pytest.fixture(scope="module")
def renderer() -> MistralRenderer:
    return MistralRenderer(V3)


def test_every_number_has_its_row():
    assert [number for number, _, _ in table()] == list(ROWS)


@pytest.mark.parametrize(("number", "fault", "decided"), table())
def test_the_table_says_what_the_check_says(tmp_path, renderer, number, fault, decided):
    path = tmp_path / "rows.jsonl"
    before = [] if number not in (51, 60) else [chat(Q, A, id=number)]
    path.write_text("".join(json.dumps(row) + "\n" for row in [*before, ROWS[number]]))

    report = check_file(
        path, filename="rows.jsonl", renderer=renderer if "(v3)" in fault else None, inspect=False
    )

    told = {p.code for p in report.problems if p.line != len(before)} if before else {
        p.code for p in report.problems
    }  # fmt: skip
    assert told == set(re.findall(r"`(\w+)`", decided))
    assert bool(report.errors) == (decided[0] == "`")


def test_every_code_of_the_page_is_said_somewhere():
    source = "".join(path.read_text() for path in (ROOT / "src/modiste/prepare").rglob("*.py"))
    told = set(re.findall(r"`([a-z0-9]+(?:_[a-z0-9]+)+|split)`", PAGE))
    fields = {"available_tools", "system_prompt", "tool_call_id", "function_call", "over_length"}

    missing = {code for code in told - fields if f'"{code}"' not in source}

    assert missing <= {"validate_data"}
