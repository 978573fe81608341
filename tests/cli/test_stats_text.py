"""Statistics in the terminal say what there is, and nothing that is not."""

from __future__ import annotations

import pytest

from modiste.cli.stats_text import print_stats, sparkline
from modiste.prepare.statistics import Statistics
from modiste.prepare.turns import Rendered
from modiste.types import Example, Message, Role, SampleType


def counted(n_tokens=100, n_trained=40):
    made = Statistics(seq_len=64)
    messages = (Message(Role.USER, "q" * 7), Message(Role.ASSISTANT, "a" * 9))
    row = Example(1, SampleType.INSTRUCT, messages)
    made.add(row, [Rendered([1] * n_tokens, [at < n_trained for at in range(n_tokens)])])
    return made.to_json()


def file(name="a.jsonl", **more):
    given = {"format": "chat", "why": "", "rows": 3, "good_rows": 1, "bad_rows": 2}
    return {"file": name, **given, "statistics": counted(), **more}


@pytest.fixture
def told(capsys):
    def of(*files, total=None, estimates=()):
        answer = {
            "tokenizer": {"model": "v3", "files": "x.model"}, "seq_len": 64, "files": list(files),
            "total": total or counted(), "estimates": list(estimates),
        }  # fmt: skip
        print_stats(answer)
        return capsys.readouterr().out

    return of


def test_one_file_is_told_without_a_table_of_files(told):
    out = told(file())

    assert "a.jsonl: chat" in out
    assert "1, and 2 that may not be trained on" in out
    assert "100, 40 of them trained (40 %)" in out
    assert "1 rows for 64 tokens" in out


def test_several_files_have_a_line_each(told):
    out = told(file("a.jsonl"), file("b.jsonl"))

    assert out.index("a.jsonl") < out.index("b.jsonl")
    assert "40 %" in out


def test_without_tokens_nothing_is_said_about_them(told):
    made = Statistics()
    made.add(Example(1, SampleType.CLASSIFIER, text="x", labels={"mood": ("good",)}))

    out = told(file(statistics=made.to_json()), total=made.to_json())

    assert "of them trained" not in out
    assert "letters of a text" in out


def test_estimated_tokens_are_marked_and_explained(told):
    row = {
        "base": "open-mistral-7b", "tokens": 1234, "tokens_estimated": True, "steps": 10,
        "epochs": 3.0, "steps_per_epoch": 4, "memory_bytes": 88e9, "duration_s": 7200,
        "cost_micro": 2_500_000, "currency": "EUR", "rests_on": "assumed, two processor cores",
    }  # fmt: skip

    out = told(file(), estimates=[row])

    for said in ("≈1,234", "4 steps", "88.0 GB", "2 h", "2.50 EUR", "another tokenizer"):
        assert said in out


def test_a_bar_with_anything_in_it_is_not_blank():
    assert sparkline([{"n": 0}, {"n": 1}, {"n": 1000}]) == " ▁█"
    assert sparkline([]) == ""
