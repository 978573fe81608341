"""`modiste data variety` as its user meets it."""

from __future__ import annotations

import json


def chat(question, answer="Yes."):
    user, assistant = {"role": "user", "content": question}, {"role": "assistant"}
    return {"messages": [user, assistant | {"content": answer}]}


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_tables_topics_and_thin_spots_are_printed(modiste, tmp_path, home):
    nouns = ["cat", "dog", "bank", "loan", "storm"]
    rows = [
        chat(f"What of the {nouns[n % 5]} and the {nouns[n % 3]}, case {n}?") for n in range(150)
    ]
    path = write(tmp_path / "a.jsonl", rows)
    out = tmp_path / "report.json"

    result = modiste("data", "variety", path, "-o", out)

    assert result.code == 0
    assert "150 rows" in result.out
    assert "Vendi score" in result.out
    assert "dialogue (0)" in result.out
    assert "begin with “what of the”" in result.err
    assert json.loads(out.read_text())["stage"] == "variety"
    assert not home.exists()


def test_a_policy_and_production_are_held_against_the_rows(modiste, tmp_path):
    path = write(tmp_path / "a.jsonl", [chat(f"write line {n}") for n in range(60)])
    other = write(tmp_path / "b.jsonl", [chat(f"why is {n} late?") for n in range(60)])
    policy = tmp_path / "policy.yaml"
    policy.write_text("categories: [S1]\n")

    flags = ["--policy", policy, "--reference", other]
    result = modiste("data", "variety", path, *flags)
    told = modiste("data", "variety", path, *flags, "--json").json

    assert "S1 · violating (0, 20 wanted)" in result.out
    assert "question (60, ours 0)" in result.out
    assert len(told["policy"]["gaps"]) == 3


def test_a_policy_that_is_none_ends_with_2(modiste, tmp_path):
    path = write(tmp_path / "a.jsonl", [chat("a")])
    result = modiste("data", "variety", path, "--policy", tmp_path / "none.yaml")
    assert result.code == 2
    assert "cannot be read" in result.err
