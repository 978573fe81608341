"""A preview in the terminal tells trained from untrained, with colours and without."""

from __future__ import annotations

import pytest

from modiste.cli.preview_text import print_preview


def preview(*spans, **sample):
    counts = {"tokens": 9, "trained": 3, "untrained": 6, "special": 2, "over_length": 0}
    shown = {
        "line": 7,
        "part": 1,
        "parts": 1,
        "kind": "instruct",
        "picked": "random",
        "counts": counts,
    }
    return {
        "file": "a.jsonl", "format": "chat", "rows": 1000, "whole_file": True, "alarms": [],
        "counts": {"samples": 1, **counts},
        "samples": [shown | {"spans": list(spans)} | sample],
    }  # fmt: skip


def span(text, **flags):
    return {"text": text, "tokens": 1, **flags}


CHAT = [
    span("<s>", special=True),
    span("hello\nthere"),
    span("an", trained=True),
    span("</s>", trained=True, special=True),
]


@pytest.fixture
def told(capsys, monkeypatch):
    monkeypatch.delenv("FORCE_COLOR", raising=False)

    def of(made):
        print_preview(made, tokens_of="some tokenizer")
        return capsys.readouterr().out

    return of


def test_without_colours_trained_text_stands_in_brackets(told):
    out = told(preview(*CHAT))

    assert "<s>hello\nthere⟦an</s>⟧" in out
    assert "line 7  9 tokens: 3 trained (33 %), 6 not, 2 control" in out
    assert "some tokenizer" in out


def test_with_colours_there_are_no_brackets(told, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")

    out = told(preview(*CHAT))

    assert "⟦" not in out
    assert "\x1b[" in out


def test_what_is_over_length_and_what_is_left_out_is_said(told):
    out = told(
        preview(
            span("a"), {"text": "", "tokens": 5000, "omitted": True}, span("b", over_length=True)
        )
    )

    assert "… 5,000 untrained tokens not shown …" in out
    assert "⟨over length from here⟩b" in out


def test_a_row_that_cannot_be_shown_says_why(told):
    nothing = {"tokens": 0, "trained": 0, "untrained": 0, "special": 0, "over_length": 0}

    out = told(preview(counts=nothing, problem={"message": "no assistant message"}))

    assert "not trained: no assistant message" in out


def test_classifier_rows_show_their_labels(told):
    out = told(preview(span("great film"), labels={"mood": ["good"]}, kind="classifier"))

    assert "→ mood: good" in out
    assert "line 7  9 tokens\n" in out, "no token of a classifier's text is a target"


def test_alarms_come_last_with_what_to_do(told):
    alarm = {"line": 7, "severity": "warning", "message": "no token is trained", "hint": "mend it"}

    out = told(preview(span("x")) | {"alarms": [alarm]})

    assert out.rstrip().endswith("! line 7: no token is trained (mend it)")


def test_text_cannot_steer_the_terminal(told):
    assert "\x1b" not in told(preview(span("\x1b[2Jboo", trained=True)))
