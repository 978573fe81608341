"""A file made fit to train on."""

import json
from pathlib import Path

from modiste.prepare.reformat import reformat

CALL = {"name": "weather", "arguments": {"city": "Rome"}}
OLD_STYLE = {
    "messages": [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": "", "function_call": CALL},
        {"role": "function", "name": "weather", "content": "20"},
        {"role": "assistant", "content": "20 degrees."},
    ],
    "functions": [{"name": "weather", "description": "", "parameters": {"type": "object"}}],
}
NO_ANSWER = {"messages": [{"role": "user", "content": "Hello?"}]}


def test_rows_with_function_calls_survive_and_train(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(json.dumps(OLD_STYLE))
    done = reformat(file, filename="a.jsonl")
    assert done.ok
    assert len(json.loads(file.read_text())["messages"]) == 4


def test_what_remains_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text("\n".join(map(json.dumps, [OLD_STYLE, NO_ANSWER])))
    done = reformat(file, filename="a.jsonl")
    assert (done.ok, done.bad_lines) == (False, {2})
    assert [problem["line"] for problem in done.to_json()["problems"]] == [2]
