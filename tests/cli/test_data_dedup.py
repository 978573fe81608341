"""`modiste data dedup` and `decontaminate` as their users meet them."""

from __future__ import annotations

import json


def chat(question, answer="Yes.", **more):
    user, assistant = {"role": "user", "content": question}, {"role": "assistant"}
    return {"messages": [user, assistant | {"content": answer}], **more}


def test_repeats_go_and_the_report_lies_beside_the_rows(modiste, write, tmp_path, home):
    out = tmp_path / "clean.jsonl"
    rows = [chat("Why?"), chat("why?"), chat("How?", "So."), chat("how?", "Not.")]
    result = modiste("data", "dedup", write("a.jsonl", rows), "-o", out)
    assert result.code == 0
    assert "3 of 4 rows; 1 left out: 1 exact" in result.out
    assert "questions with different answers" in result.err
    assert len(out.read_text().splitlines()) == 3
    assert json.loads((tmp_path / "clean.report.json").read_text())["kept"] == 3
    assert not home.exists()


def test_dedup_as_json_is_the_report(modiste, write, tmp_path):
    source = write("a.jsonl", [chat("Why?"), chat("why?")])
    result = modiste("data", "dedup", source, "-o", tmp_path / "b.jsonl", "--json")
    report = json.loads(result.out)
    assert report["stage"] == "dedup"
    assert report["dropped"][0]["of"]["line"] == 1


def test_wrong_settings_end_with_2(modiste, write, tmp_path):
    source = write("a.jsonl", [chat("Why?")])
    result = modiste("data", "dedup", source, "-o", tmp_path / "b.jsonl", "--keep", "last")
    assert result.code == 2
    assert "keep" in result.err
    wrong = ("--embeddings-url", "localhost", "--embeddings-model", "m")
    result = modiste("data", "dedup", source, "-o", tmp_path / "b.jsonl", *wrong)
    assert result.code == 2
    assert "expected a URL" in result.err
    result = modiste("data", "dedup", source, "-o", source)
    assert result.code == 2
    assert "one of the inputs" in result.err


def test_a_base_that_is_not_there_is_told(modiste, write, tmp_path):
    source = write("a.jsonl", [chat("Why?")])
    wrong = ("--embeddings-base", "no-such-base")
    result = modiste("data", "dedup", source, "-o", tmp_path / "b.jsonl", *wrong)
    assert result.code == 2
    assert "no-such-base: no folder and no base" in result.err


def test_the_shipped_base_can_compare_meanings(modiste, write, tmp_path):
    others = ["Name a fish.", "SELECT 1;", "Who was Caesar?", "2 + 2 =", "Write a poem.", "Bye"]
    rows = [chat(each) for each in ("How do I bake bread?", "How do I bake the bread?", *others)]
    options = ("--embeddings-base", "modiste-tiny", "--cosine", "0.8")
    out = tmp_path / "b.jsonl"
    result = modiste("data", "dedup", write("a.jsonl", rows), "-o", out, *options)
    assert result.code == 0
    assert "1 semantic" in result.out


def test_rows_that_give_items_away_go_and_the_text_is_shown(modiste, write, tmp_path):
    leaked = "How many green apples did the old farmer sell at the market on Sunday?"
    train = write("train.jsonl", [chat(f"Tell me: {leaked}"), chat("What is a fish?")])
    evals = tmp_path / "evals.csv"
    evals.write_text(f'prompt,gold\n"{leaked}",12\n')
    out = tmp_path / "clean.jsonl"
    result = modiste(
        *("data", "decontaminate", train, "-o", out, "--against", evals),
        *("--against-columns", "user={prompt}", "--against-columns", "assistant={gold}"),
    )
    assert result.code == 0
    assert "1 of 2 rows; 1 left out: 1 copy" in result.out
    assert "scores are in doubt" in result.out
    assert "how many green apples" in result.out
    assert out.read_text() == json.dumps(chat("What is a fish?")) + "\n"


def test_an_eval_file_that_is_not_there_ends_with_2(modiste, write, tmp_path):
    train = write("train.jsonl", [chat("Why?")])
    against = ("--against", tmp_path / "none.jsonl")
    result = modiste("data", "decontaminate", train, "-o", tmp_path / "b.jsonl", *against)
    assert result.code == 2
    assert "none.jsonl" in result.err
