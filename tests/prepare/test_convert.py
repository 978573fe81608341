"""Files of any format into another: every row accounted for, the result checked."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from modiste.errors import InvalidInput
from modiste.prepare.convert import Lines, convert_files
from modiste.prepare.formats.columns import Columns
from modiste.prepare.formats.kinds import Format
from modiste.prepare.formats.read import read
from modiste.prepare.sources.locate import Located, locate

ALPACA = [
    {"id": n, "instruction": f"Add {n} and one.", "input": "", "output": str(n + 1)}
    for n in range(5)
]


def located(path: Path, rows: list) -> Located:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Located(path, path.name)


def lines(path: Path) -> list:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def data() -> Path:
    given = os.environ.get("MODISTE_DATA")
    path = Path(given) if given else Path(__file__).parents[3] / "shared" / "data"
    if not path.is_dir():
        pytest.skip("the development data is not at ../shared/data nor at MODISTE_DATA")
    return path


def test_rows_become_chats_and_the_report_says_what_was_lost(tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    report = convert_files([located(tmp_path / "in.jsonl", ALPACA)], output)

    assert [m["content"] for m in lines(output)[4]["messages"]] == ["Add 4 and one.", "5"]
    assert report["ok"]
    assert report["output"]["rows"] == 5
    assert report["inputs"][0]["format"] == "alpaca"
    assert report["lost"] == [{"file": "in.jsonl", "what": "id", "rows": 5, "lines": [[1, 5]]}]
    assert json.loads((tmp_path / "out.report.json").read_text()) == report


def test_a_row_that_cannot_be_read_is_left_out_with_its_line(tmp_path: Path) -> None:
    rows = [*ALPACA, {"instruction": "And this?"}]
    report = convert_files([located(tmp_path / "in.jsonl", rows)], tmp_path / "out.jsonl")
    assert not report["ok"]
    assert report["dropped_rows"] == 1
    assert [(p["line"], p["code"]) for p in report["dropped"]] == [(6, "field_missing")]
    assert report["output"]["rows"] == 5


def test_a_result_that_may_not_be_trained_on_says_why(tmp_path: Path) -> None:
    turns = [{"from": "gpt", "value": "a"}, {"from": "human", "value": "q"}]
    row = {"conversations": turns}
    report = convert_files([located(tmp_path / "in.jsonl", [row])], tmp_path / "out.jsonl")
    assert not report["ok"]
    [file] = report["check"]["files"]
    assert "last_role" in {problem["code"] for problem in file["problems"]}


def test_chats_go_to_another_format_and_back(tmp_path: Path) -> None:
    first = convert_files([located(tmp_path / "in.jsonl", ALPACA)], tmp_path / "chat.jsonl")
    there, back = tmp_path / "there.jsonl", tmp_path / "back.jsonl"
    for to in (Format.SHAREGPT, Format.ALPACA, Format.PROMPT_COMPLETION, Format.CHAT_TABLE):
        convert_files([Located(tmp_path / "chat.jsonl", "c")], there, to=to)
        report = convert_files([Located(there, "t")], back, to=Format.CHAT)
        ids = ["chat_id", "message_id"] if to is Format.CHAT_TABLE else []
        assert [each["what"] for each in report["lost"]] == ids
        assert report["output"]["sha256"] == first["output"]["sha256"]


def test_inputs_of_several_formats_become_one_file(tmp_path: Path) -> None:
    table = tmp_path / "b.csv.gz"
    table.write_bytes(gzip.compress(b"question,answer\nOne and one?,2\n"))
    inputs = [located(tmp_path / "a.jsonl", ALPACA[:1]), Located(table, "b.csv.gz")]
    report = convert_files(inputs, tmp_path / "out.jsonl")
    assert [each["format"] for each in report["inputs"]] == ["alpaca", "prompt-completion"]
    assert [each["container"] for each in report["inputs"]] == ["jsonl", "csv"]
    assert report["output"]["rows"] == 2


def test_rows_of_several_kinds_are_not_mixed_unasked(tmp_path: Path) -> None:
    pair = {"prompt": "q", "chosen": "a", "rejected": "b"}
    inputs = [located(tmp_path / "a.jsonl", ALPACA), located(tmp_path / "b.jsonl", [pair])]
    output = tmp_path / "out.jsonl"
    with pytest.raises(InvalidInput, match=r"b.jsonl line 1 is a preference row.*--to chat"):
        convert_files(inputs, output)
    assert not output.exists()
    assert convert_files(inputs, output, to=Format.CHAT)["output"]["rows"] == 6


def test_any_columns_become_chats_by_templates(tmp_path: Path) -> None:
    rows = [{"title": "T", "abstract": "A", "year": 1999}]
    columns = Columns.parse(["user=Write a title:\\n{abstract}", "assistant={title}"])
    output = tmp_path / "out.jsonl"
    convert_files([located(tmp_path / "in.jsonl", rows)], output, columns=columns)
    assert [m["content"] for m in lines(output)[0]["messages"]] == ["Write a title:\nA", "T"]


def test_nothing_is_written_when_no_row_can_be(tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    rows = [{"title": "T", "abstract": "A"}] * 3
    with pytest.raises(InvalidInput, match="none of the 3 rows") as told:
        convert_files([located(tmp_path / "in.jsonl", rows)], output)
    assert len(told.value.problems) == 1
    assert "'user={title}' 'assistant={abstract}'" in (told.value.problems[0].hint or "")
    assert not output.exists()


def test_an_input_is_never_the_output(tmp_path: Path) -> None:
    given = located(tmp_path / "in.jsonl", ALPACA)
    with pytest.raises(InvalidInput, match="name another output"):
        convert_files([given], given.path)
    assert lines(given.path) == ALPACA


def test_lines_are_kept_as_ranges() -> None:
    told = Lines()
    for line in (1, 2, 2, 3, 7):
        told.add(line)
    assert (told.count, told.ranges) == (5, [[1, 3], [7, 7]])


@pytest.mark.parametrize(
    ("name", "n_rows", "kind"),
    [
        ("g_llamafactory_demo/alpaca_en_demo.jsonl.gz", 999, "alpaca"),
        ("g_llamafactory_demo/dpo_en_demo.jsonl.gz", 300, "preference"),
        ("g_llamafactory_demo/glaive_toolcall_en_demo.jsonl", 300, "sharegpt"),
        ("g_self_instruct/seed_tasks.jsonl", 175, "alpaca"),
        ("g_gsm8k/train.jsonl.gz", 4000, "prompt-completion"),
        ("h_hh_rlhf/harmless_base_test.jsonl.gz", 1200, "preference"),
        ("b_snips/validate.jsonl", 700, "classifier"),
    ],
)
def test_real_files_of_other_tools_convert_whole_and_back_to_the_same_examples(
    data: Path, tmp_path: Path, name: str, n_rows: int, kind: str
) -> None:
    """Row counts are those of the files' READMEs."""
    [given] = locate([str(data / name)])
    output = tmp_path / "out.jsonl"
    report = convert_files([given], output)
    assert report["inputs"][0]["format"] == kind
    assert (report["output"]["rows"], report["dropped_rows"]) == (n_rows, 0)
    before = [r.row.example for r in read(given.path, filename="a").rows]
    after = [r.row.example for r in read(output, filename="b").rows]
    assert before == after
