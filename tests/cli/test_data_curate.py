"""`modiste data split`, `sample` and `merge` as their users meet them."""

from __future__ import annotations

import json


def chat(question, answer="Yes.", **more):
    user, assistant = {"role": "user", "content": question}, {"role": "assistant"}
    return {"messages": [user, assistant | {"content": answer}], **more}


MANY = [chat(f"question {at}", label="ab"[at % 2]) for at in range(300)]


def test_a_split_is_a_folder_of_parts_with_a_report(modiste, write, tmp_path, home):
    out = tmp_path / "parts"
    result = modiste("data", "split", write("a.jsonl", MANY), "-o", out, "--parts", "70/15/15")
    assert result.code == 0
    assert "validation.jsonl" in result.out
    report = json.loads((out / "split.report.json").read_text())
    assert sum(part["rows"] for part in report["outputs"].values()) == 300
    assert not home.exists()


def test_too_few_of_a_class_end_with_2_and_say_how_many(modiste, write, tmp_path):
    rows = [*MANY, chat("rare", label="c")]
    result = modiste(
        "data", "split", write("a.jsonl", rows), "-o", tmp_path / "p", "--stratify", "label"
    )
    assert result.code == 2
    assert "'c' has" in result.err
    assert not (tmp_path / "p").exists()


def test_a_sample_is_a_file_with_a_report_beside_it(modiste, write, tmp_path):
    out = tmp_path / "few.jsonl"
    result = modiste(
        "data", "sample", write("a.jsonl", MANY), "-o", out, "-n", 10, "--stratify", "label"
    )
    assert result.code == 0
    assert "10 of 300 rows" in result.out
    classes = json.loads((tmp_path / "few.report.json").read_text())["classes"]
    assert classes["a"] == {"rows": 150, "kept": 5}


def test_wrong_flags_are_named_together(modiste, write, tmp_path):
    result = modiste(
        "data", "sample", write("a.jsonl", MANY), "-o", tmp_path / "f.jsonl", "--fraction", "2"
    )
    assert result.code == 2
    assert "flags: fraction: Input should be less than or equal to 1, got 2.0" in result.err


def test_a_merge_tells_the_share_of_each_file(modiste, write, tmp_path):
    one, two = write("one.jsonl", MANY[:200]), write("two.jsonl", MANY[150:])
    out = tmp_path / "all.jsonl"
    result = modiste("data", "merge", one, two, "-o", out, "--json")
    assert [file["kept"] for file in result.json["files"]] == [200, 100]
    assert len(result.json["dropped"]) == 50
    result = modiste("data", "merge", one, two, "-o", out, "--weights", "1,1")
    assert "50.0%" in result.out
    result = modiste("data", "merge", one, two, "-o", out, "--weights", "1,x")
    assert result.code == 2
    assert "weights.1" in result.err


def test_files_of_two_formats_are_refused_before_a_file_comes_of_them(modiste, write, tmp_path):
    write("a.jsonl", MANY)
    write("b.jsonl", [{"instruction": "a", "input": "", "output": "b"}])
    out = tmp_path / "out.jsonl"
    result = modiste("data", "sample", tmp_path, "-o", out, "-n", 3)
    assert result.code == 2
    assert "cannot become one" in result.err
    assert not out.exists()
