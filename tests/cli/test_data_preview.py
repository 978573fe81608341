"""`modiste data preview` as its user meets it."""

from __future__ import annotations

import json


def test_a_preview_shows_what_is_trained_and_whose_tokens_it_counts(modiste, training_file, home):
    result = modiste("data", "preview", training_file, "-n", "2")

    assert result.code == 0
    assert "⟦Pong.</s>⟧" in result.out
    assert "modiste-tiny" in result.out
    assert "2 of the 20 rows" in result.out
    assert not home.exists()


def test_the_json_form_holds_every_span(modiste, training_file):
    (made,) = modiste("data", "preview", training_file, "--model", "v7", "--json").json["previews"]

    assert made["counts"]["samples"] == 5
    assert {"text": " Pong.", "trained": True}.items() <= made["samples"][0]["spans"][-2].items()


def test_the_same_seed_shows_the_same_rows(modiste, tmp_path):
    path = tmp_path / "many.jsonl"
    path.write_text("".join(json.dumps({"text": f"text {at}"}) + "\n" for at in range(200)))

    def lines(seed):
        made = modiste("data", "preview", path, "--seed", seed, "--json").json
        return [sample["line"] for sample in made["previews"][0]["samples"]]

    assert lines(1) == lines(1) != lines(2)


def test_without_a_file_it_says_what_to_name(modiste, home):
    result = modiste("data", "preview")

    assert (result.code, "name at least one file" in result.err) == (2, True)


def test_of_long_sequences_the_middle_is_left_out_and_counted(modiste, tmp_path):
    path = tmp_path / "long.jsonl"
    path.write_text(json.dumps({"text": "word " * 300}) + "\n")

    out = modiste("data", "preview", path, "--model", "v3", "--tokens", "100").out

    assert "tokens not shown …" in out


def test_statistics_name_the_tokenizer_and_plan_for_each_base(modiste, training_file, home):
    result = modiste("data", "stats", training_file)

    assert result.code == 0
    assert "rows" in result.out
    assert "open-mistral-7b" in result.out
    assert "modiste-tiny" in result.err
    assert not home.exists()


def test_statistics_as_json_hold_every_file_and_the_total(modiste, training_file, tmp_path):
    other = tmp_path / "other.jsonl"
    other.write_text(training_file.read_text() + "{broken\n")

    told = modiste(
        "data", "stats", training_file, other, "--model", "v3", "--epochs", "2", "--json"
    ).json

    assert [file["good_rows"] for file in told["files"]] == [20, 20]
    assert told["files"][1]["bad_rows"] == 1
    assert told["total"]["rows"] == 40
    assert told["total"]["tokens"] == 2 * told["files"][0]["statistics"]["tokens"]
    assert told["estimates"][0]["epochs"] >= 2


def test_a_file_of_which_nothing_can_be_shown_ends_with_1_and_says_why(modiste, tmp_path):
    path = tmp_path / "broken.jsonl"
    path.write_text("{broken\n")

    result = modiste("data", "preview", path)

    assert result.code == 1
    assert "the first at line 1: not valid JSON" in result.out
