"""`modiste data run` as its user meets it."""

from __future__ import annotations


def chat(question, answer="Yes.", **more):
    user, assistant = {"role": "user", "content": question}, {"role": "assistant"}
    return {"messages": [user, assistant | {"content": answer}], **more}


MANY = [chat(f"question {at}", label="ab"[at % 2]) for at in range(300)]


def test_a_pipeline_says_what_it_does_and_what_it_did_before(modiste, write, tmp_path):
    write("a.jsonl", MANY)
    yaml = tmp_path / "p.yaml"
    yaml.write_text("inputs: a.jsonl\nstages: [merge, split]\noutput: set\n")
    first = modiste("data", "run", yaml)
    assert first.code == 0
    assert "[2/2] split: train" in first.err
    assert "written to" in first.out
    again = modiste("data", "run", yaml)
    assert "[1/2] merge: data 300 (done before)" in again.err
    assert "as it was in" in again.out
    told = modiste("data", "run", yaml, "--json").json
    assert told["known"] == [True, True]
    assert told["outputs"]["train"]["file"] == "train.jsonl"


def test_everything_wrong_in_a_pipeline_is_told(modiste, tmp_path):
    yaml = tmp_path / "p.yaml"
    yaml.write_text("inputs: a.jsonl\nstages: [mrge, {split: {salty: x}}]\noutput: set\n")
    result = modiste("data", "run", yaml)
    assert result.code == 2
    assert "did you mean merge?" in result.err
    assert "salty: unknown; did you mean salt?" in result.err
