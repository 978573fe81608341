"""`modiste data check` as its user meets it."""

from __future__ import annotations

import gzip
import json

import pytest


def chat(question, answer, **more):
    user, assistant = {"role": "user", "content": question}, {"role": "assistant"}
    return {"messages": [user, assistant | {"content": answer} | more]}


@pytest.fixture
def write(tmp_path):
    def file(name, *rows):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return file


GOOD = [chat(f"How many is {at}?", f"It is {at}, no more.") for at in range(12)]
BAD = {"messages": [{"role": "robot", "content": "?"}]}


def test_good_files_end_with_0_and_no_home(modiste, home, write):
    result = modiste("data", "check", write("a.jsonl", *GOOD))

    assert result.code == 0
    assert "ok: all 12 rows" in result.out
    assert not home.exists()


def test_a_bad_row_ends_with_1_and_says_where_and_what(modiste, write):
    result = modiste("data", "check", write("a.jsonl", *GOOD, BAD))

    assert result.code == 1
    assert "line 13" in result.out
    assert "'robot'" in result.out


def test_the_json_form_is_the_contract(modiste, write):
    path = write("a.jsonl", *GOOD, BAD)

    result = modiste("data", "check", path, "--json")

    (file,) = result.json["files"]
    assert result.json["ok"] is False
    assert (file["file"], file["format"], file["rows"]) == (str(path), "chat", 13)
    wanted = {"line", "path", "code", "severity", "value", "message", "hint"}
    assert all(wanted <= set(problem) for problem in file["problems"])


def test_a_folder_stands_for_its_files_in_order(modiste, write, tmp_path):
    write("data/b.jsonl", *GOOD)
    write("data/a.jsonl", *GOOD)

    found = modiste("data", "check", tmp_path / "data", "--json").json

    assert [file["file"].rpartition("/")[2] for file in found["files"]] == ["a.jsonl", "b.jsonl"]


def test_with_a_model_rows_are_held_against_its_length(modiste, write):
    path = write("a.jsonl", *GOOD, chat("q", "long " * 100))

    assert modiste("data", "check", path, "--model", "v3", "--seq-len", "4096").code == 0
    result = modiste("data", "check", path, "--model", "v3", "--seq-len", "64")

    assert result.code == 1
    assert "64" in result.out
    assert "mistral_instruct_tokenizer_240323.model.v3" in result.err


def test_a_missing_file_is_wrong_usage_and_all_of_them_are_named(modiste, write):
    result = modiste("data", "check", write("a.jsonl", *GOOD), "gone.jsonl", "lost.jsonl")

    assert result.code == 2
    assert "gone.jsonl" in result.err
    assert "lost.jsonl" in result.err


def test_without_a_file_it_says_what_to_name(modiste, home):
    assert "name at least one file" in modiste("data", "check").err


def test_a_training_file_of_mistral_finetune_is_read_with_all_its_files(modiste, write, tmp_path):
    write("data/a.jsonl", *GOOD)
    write("data/bad.jsonl", *GOOD, BAD)
    write("valid.jsonl", chat("something else", "entirely"))
    (tmp_path / "7B.yaml").write_text(
        "data: {instruct_data: 'data:2.', eval_instruct_data: valid.jsonl}\n"
        "model_id_or_path: open-mistral-7b\nseq_len: 1024\nmax_steps: 10\nbatch_size: 2\n"
    )

    result = modiste("data", "check", "--train-yaml", tmp_path / "7B.yaml", "--json")

    assert result.code == 1, "every file is checked, not only the last"
    assert [file["use"] for file in result.json["files"]] == ["train", "train", "validation"]
    expected = result.json["expected"]
    assert expected["train_tokens"] == 10 * 2 * 1024 * max(1, expected["gpus"])
    assert expected["data_tokens"] == sum(expected["data_tokens_per_dataset"].values()) > 0


def test_files_beside_a_training_file_are_refused(modiste, write, tmp_path):
    result = modiste("data", "check", write("a.jsonl", *GOOD), "--train-yaml", tmp_path / "x.yaml")

    assert result.code == 2
    assert "--train-yaml names the files itself" in result.err


def test_the_page_holds_problems_and_previews_of_every_file(modiste, write, tmp_path):
    page = tmp_path / "report.html"

    result = modiste("data", "check", write("a.jsonl", *GOOD, BAD), "--html", page)

    text = page.read_text()
    assert result.code == 1
    assert str(page) in result.err
    assert "role_unknown" in text
    assert "What is trained" in text
    assert "modiste-tiny" in text, "without a model the page says whose tokens it shows"


def test_a_page_that_cannot_be_written_is_said(modiste, write, tmp_path):
    result = modiste("data", "check", write("a.jsonl", *GOOD), "--html", tmp_path / "no" / "r.html")

    assert result.code == 2
    assert "cannot be written" in result.err


def test_columns_of_any_name_become_chats_by_templates(modiste, write):
    path = write("table.jsonl", *({"q": f"What is {at}?", "a": f"It is {at}."} for at in range(9)))

    assert modiste("data", "check", path).code == 1
    result = modiste("data", "check", path, "--columns", "user={q}", "assistant={a}", "--json")

    assert result.code == 0
    assert result.json["files"][0]["format"] == "columns"


def test_fix_mends_in_place_shows_the_difference_and_checks_what_is_left(modiste, write, tmp_path):
    told = [{"role": "human", "content": "Ping?"}, {"role": "gpt", "content": "Pong."}]
    path = write("a.jsonl", {"interactions": told}, *GOOD)
    before = path.read_bytes()
    packed = tmp_path / "b.jsonl.gz"
    packed.write_bytes(gzip.compress(json.dumps(chat("Where?", "In Lyon.")).encode()))

    result = modiste("data", "check", path, packed, "--fix")

    assert result.code == 0
    assert "repaired 1 of 13 rows" in result.out
    assert "not repaired" in result.err
    assert (tmp_path / "a.jsonl.bak").read_bytes() == before
    again = modiste("data", "check", path, "--fix", "--json")
    assert again.json["fixed"][0]["changed_rows"] == 0
    assert again.json["ok"]
