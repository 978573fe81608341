"""The preview on the page marks what is trained and shows what cannot be seen."""

from __future__ import annotations

from modiste.prepare.report_preview import preview_section, visible

COUNTS = {"tokens": 9, "trained": 3, "untrained": 6, "special": 2, "over_length": 0}


def preview(*spans, alarms=(), **sample):
    shown = {
        "line": 7,
        "part": 1,
        "parts": 1,
        "kind": "instruct",
        "picked": "random",
        "counts": COUNTS,
    }
    return {
        "rows": 10, "whole_file": True, "seed": 0, "alarms": list(alarms),
        "samples": [shown | {"spans": list(spans)} | sample],
    }  # fmt: skip


def span(text, **flags):
    return {"text": text, "tokens": 2, **flags}


def test_trained_control_and_over_length_text_is_marked():
    text = preview_section(
        preview(span("<s>", special=True), span("q"), span("a", trained=True, over_length=True))
    )

    assert '<span class="c" title="2 tokens">&lt;s&gt;</span>q<span class="t o"' in text
    assert "3 trained (33 %), 6 not, 2 control" in text


def test_text_of_the_data_is_never_markup():
    text = preview_section(
        preview(span("<script>x</script>"), labels={"<b>": ["<i>"]}, answer="<u>")
    )

    assert not {"<script>", "<b>:", "<i>", "<u>"} & set(text.split(">"))
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


def test_what_steers_the_reader_is_shown_by_its_code():
    assert visible("a\u202eb\x00c") == "a⟨U+202E⟩b⟨U+0000⟩c"
    assert visible("1\u202f000\u00a0€\n\t👩\u200d💻") == "1\u202f000\u00a0€\n\t👩\u200d💻"


def test_alarms_say_their_line_and_what_to_do():
    alarm = {"line": 1234, "severity": "warning", "message": "no token is trained", "hint": "mend"}

    text = preview_section(preview(span("x"), alarms=[alarm]))

    assert "<b>Line 1,234:</b> no token is trained." in text
    assert "→ mend" in text


def test_parts_of_a_row_and_left_out_tokens_are_said():
    gap = {"text": "", "tokens": 5000, "omitted": True, "trained": True}

    text = preview_section(preview(gap, part=2, parts=3, picked="longest"))

    assert "sequence 2 of 3" in text
    assert "the longest row" in text
    assert "… 5,000 trained and untrained tokens not shown …" in text


def test_a_long_prompt_is_folded_and_nothing_of_it_is_lost():
    prompt = "".join(f"<{at}>" for at in range(500))

    text = preview_section(preview(span(prompt), span("a" * 3000, trained=True)))

    assert "letters, not trained" in text
    assert text.count("<details>") == 1, "what is trained is never folded"
    assert all(f"&lt;{at}&gt;" in text for at in (0, 499))
