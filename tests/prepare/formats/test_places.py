"""Problems name the place in the row as it stands in the file."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from examples import chats, labelled, pairs
from hypothesis import given, settings

from modiste.prepare.checks.file import check_file
from modiste.prepare.formats.columns import Columns
from modiste.prepare.formats.kinds import Format
from modiste.prepare.formats.places import AS_IT_IS, Place, Places
from modiste.prepare.formats.read import parse_row
from modiste.prepare.formats.row import Row
from modiste.prepare.formats.write import write
from modiste.types import Example, Problem

MAIL = "write to anna.schmidt@firma-nord.de please"
CUT = "Here it is:\n```py\nx = 1"


def read(value: Any, format: Format | None = None, columns: Columns | None = None) -> Row:
    row = parse_row(value, file="f", line=1, format=format, columns=columns)
    assert row.problems == ()
    return row


def at(row: Any, path: str) -> Any:
    """What stands in a row at `conversations[1].value`."""
    for name, number in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path):
        row = row[int(number)] if number else row[name]
    return row


def told(path: Path, rows: list[Any] | str, **wants: Any) -> list[tuple[int | None, str, str]]:
    text = rows if isinstance(rows, str) else "".join(json.dumps(r) + "\n" for r in rows)
    path.write_text(text)
    report = check_file(path, filename=path.name, near=False, **wants)
    return [(p.line, p.path, p.code) for p in report.problems]


def test_a_plain_chat_has_no_places():
    asked = {"role": "user", "content": "q"}

    assert read({"messages": [asked, {"role": "assistant", "content": "a"}]}).places is None
    assert (
        read({"messages": [asked, {"role": "assistant", "weight": 0, "content": "a"}]}).places
        is None
    )


@settings(max_examples=40, deadline=None)
@given(chats(), pairs(), labelled())
def test_every_text_stands_where_its_place_says(chat: Example, pair: Example, classed: Example):
    targets = [(chat, Format.SHAREGPT), (chat, Format.ALPACA), (chat, Format.PROMPT_COMPLETION)]
    for example, to in [*targets, (pair, Format.PREFERENCE), (classed, Format.CLASSIFIER)]:
        for value in write(example, to).rows:
            row = read(value, to)
            found = row.example
            for name in ("messages", "chosen", "rejected"):
                for number, message in enumerate(getattr(found, name)):
                    path = f"{name}[{number}].content"
                    place = row.places.of(path) if row.places else path
                    if message.content:
                        assert at(value, place) == message.content


@pytest.mark.parametrize(
    ("value", "question", "answer"),
    [
        ({"interactions": [("user", "q"), ("assistant", "a")]}, "interactions[0]", None),
        ({"conversations": [("human", "q"), ("gpt", "a")]}, "conversations[0]", None),
        ({"instruction": "q", "output": "a"}, "instruction", "output"),
        ({"instruction": "q", "input": "x", "output": "a"}, "instruction + input", "output"),
        ({"question": "q", "answer": "a"}, "question", "answer"),
        ({"context": "c", "question": "q", "answer": "a"}, "context + question", "answer"),
        (
            {"instruction": "q", "instances": [{"input": "x", "output": "a"}]},
            "instruction + instances[0].input",
            "instances[0].output",
        ),
    ],
)
def test_each_format_names_its_own_fields(value: Any, question: str, answer: str | None):
    names = {"interactions": ("role", "content"), "conversations": ("from", "value")}
    for key, turns in value.items():
        if key in names:
            value = {key: [dict(zip(names[key], turn, strict=True)) for turn in turns]}
            answer = f"{key}[1].{names[key][1]}"
            question = f"{key}[0].{names[key][1]}"
    places = read(value).places

    assert places is not None
    assert places.of("messages[0].content") == question
    assert places.of("messages[1].content") == answer


def test_a_system_prompt_beside_the_messages_does_not_move_them():
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "text": "a"}]
    places = read({"system_prompt": "s", "messages": turns, "only_last": True}).places

    assert places is not None
    assert [places.of(f"messages[{n}].content") for n in range(3)] == [
        "system_prompt",
        "messages[0].content",
        "messages[1].text",
    ]


def test_what_pairs_have_in_common_stands_in_the_answer_it_came_from():
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "good"}]
    value = {"chosen": turns, "rejected": [turns[0], {"role": "assistant", "content": "bad"}]}
    places = read(value).places

    assert places is not None
    assert places.of("messages[0].content") == "chosen[0].content"
    assert places.of("chosen[0].content") == "chosen[1].content"
    assert places.of("rejected[0].content") == "rejected[1].content"
    assert places.answer("rejected").of("messages[1].content") == "rejected[1].content"


def test_transcripts_name_their_turns():
    said = "\n\nHuman: q\n\nAssistant: "
    places = read({"chosen": f"{said}good", "rejected": f"{said}bad"}).places

    assert places is not None
    assert places.of("messages[0].content") == "chosen (turn 1)"
    assert places.of("rejected[0].content") == "rejected (turn 2)"


def test_columns_name_all_that_a_message_is_made_of():
    columns = Columns.parse(["system=Be kind.", "user={a}\n{b}", "assistant={c}"])
    places = read({"a": "1", "b": "2", "c": "3"}, Format.COLUMNS, columns).places

    assert places is not None
    assert [places.of(f"messages[{n}].role") for n in range(3)] == ["system", "a + b", "c"]


def test_calls_and_tools_stand_where_their_json_does():
    fields = {"content": "value", "tool_calls": "value", "name": ""}
    places = Places((Place("conversations[1]", fields),), bare_tools=True)

    call = "messages[0].tool_calls[0]"
    assert places.of(f"{call}.function.arguments.city") == "conversations[1].value.arguments.city"
    assert places.of(f"{call}.id") == "conversations[1].value"
    assert places.of("messages[0].name") == "conversations[1]"
    assert places.of("tools[2].function.name") == "tools[2].name"
    assert places.of("messages[7].role") == "messages[7].role"


def test_words_are_translated_only_where_they_are_ours():
    places = Places((Place("", AS_IT_IS, 7), Place("output")))
    text = "messages[1].content holds “messages[1]”"
    problem = places.problem(Problem("f", 1, "messages[1].content", "c", text))

    assert problem.message == "output holds “messages[1]”"
    assert places.opening("messages[1]: a; messages[0]: b") == "output: a; the row: b"
    assert places.text("no place for messages[1], messages[0]") == "no place for output, the row"
    assert (problem.path, problem.line) == ("output", 1)
    assert places.problem(Problem("f", 1, "messages[0].role", "c", "")).line == 7


def test_checks_of_sharegpt_rows_name_turns(tmp_path: Path):
    turns = [("human", MAIL), ("gpt", CUT), ("gpt", ""), ("human", "q")]
    calls = [("human", "q"), ("function_call", '{"name": "f", "arguments": {"n": "x"}}')]
    schema = {"name": "g", "parameters": {"type": "object"}}
    rows = [
        {"system": "s", "conversations": [{"from": w, "value": t} for w, t in turns]},
        {"system": "s", "conversations": [{"from": w, "value": t} for w, t in turns[:2]]},
        {
            "conversations": [{"from": w, "value": t} for w, t in calls],
            "tools": json.dumps([schema, {**schema, "parameters": 1}]),
        },
    ]

    found = told(tmp_path / "f.jsonl", rows)

    assert (1, "conversations[3].from", "last_role") in found
    assert (1, "conversations[2].value", "content_missing") in found
    assert (2, "conversations[0].value", "pii_email") in found
    assert (2, "conversations[1].value", "answer_code_open") in found
    assert (3, "conversations[1].value.name", "tool_unknown") in found
    assert (3, "tools[1].parameters", "tool_schema_invalid") in found
    assert not any("messages" in path for _, path, _ in found)


def test_checks_of_pairs_name_the_answer(tmp_path: Path):
    rows = [
        {"prompt": "q", "chosen": "", "rejected": MAIL},
        {"prompt": "q", "chosen": CUT, "rejected": MAIL},
    ]

    found = told(tmp_path / "f.jsonl", rows)

    assert (1, "chosen", "content_missing") in found
    assert (2, "rejected", "pii_email") in found
    assert (2, "chosen", "answer_code_open") in found


def test_checks_of_tables_name_the_row_of_the_message(tmp_path: Path):
    table = f"chat_id,role,content\n1,user,{MAIL}\n1,assistant,a\n2,user,q\n2,assistant,\n"

    found = told(tmp_path / "t.csv", table)

    assert (2, "content", "pii_email") in found
    assert (5, "content", "content_missing") in found


def test_a_bad_chat_of_a_table_is_left_out_by_the_line_where_it_begins(tmp_path: Path):
    path = tmp_path / "t.csv"
    path.write_text("chat_id,role,content\n1,user,q\n1,assistant,\n")

    assert check_file(path, filename="t").bad_lines == {2}


def test_checks_of_labels_name_the_column(tmp_path: Path):
    rows = [{"sentence": MAIL, "label": "only"} for _ in range(3)]

    found = told(tmp_path / "f.jsonl", rows, format=Format.CLASSIFIER)

    assert (1, "sentence", "pii_email") in found
    assert (1, "label", "label_single") in found


def test_texts_of_foreign_rows_are_not_shown_as_values(tmp_path: Path):
    path = tmp_path / "f.jsonl"
    path.write_text(
        json.dumps(
            {
                "prompt": [{"role": "user", "content": "q"}],
                "completion": [
                    {"role": "assistant", "content": "a"},
                    {"role": "user", "content": "secret words"},
                ],
            }
        )
        + "\n"
    )

    (problem,) = check_file(path, filename="f").errors

    assert (problem.path, problem.value) == ("completion[1].role", "'user'")
    assert "secret" not in str(problem)


def test_repairs_are_promised_to_chats_alone(tmp_path: Path):
    hints = {}
    for key, who, said in (("conversations", "from", "value"), ("interactions", "role", "content")):
        path = tmp_path / key
        turns = [{who: "user", said: "q"}, {who: "assistant", said: "a"}, {who: "user", said: "q"}]
        path.write_text(json.dumps({key: turns}) + "\n")
        hints[key] = check_file(path, filename="f").errors[0].hint or ""

    assert "after `modiste data convert`, `--fix` removes" in hints["conversations"]
    assert "`--fix` removes" in hints["interactions"]
