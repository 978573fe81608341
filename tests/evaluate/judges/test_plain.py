"""Markdown goes, words stay."""

from __future__ import annotations

import pytest

from modiste.evaluate.judges.plain import without_markdown


@pytest.mark.parametrize(
    ("marked", "words"),
    [
        ("# Title\n\n## Part", "Title\n\nPart"),
        ("- one\n* two\n  + three\n- [x] done", "one\ntwo\n  three\ndone"),
        ("1. first\n2. second", "1. first\n2. second"),
        ("It is **very** *clear* and ***both***.", "It is very clear and both."),
        ("It is __very__ _clear_.", "It is very clear."),
        ("Call `f(*a, **b)` now", "Call f(*a, **b) now"),
        ("> quoted\n> > twice", "quoted\ntwice"),
        ("See [the page](https://example.org/a_b_c).", "See the page (https://example.org/a_b_c)."),
        ("above\n\n---\n\nbelow", "above\n\nbelow"),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "a  b\n1  2"),
        ("```python\n# not a title\nx = a * b * c\n```", "# not a title\nx = a * b * c"),
        ("~~~\n```\n~~~\n*x*", "```\nx"),
    ],
)
def test_marks_go_and_words_stay(marked, words):
    assert without_markdown(marked) == words


@pytest.mark.parametrize(
    "text",
    ["2 * 3 * 4 = 24", "snake_case_name and __init__x", "a - b", "a * b", "#hashtag", "", "x | y"],
)
def test_what_is_no_markdown_stays_as_it_is(text):
    assert without_markdown(text) == text


def test_a_second_time_changes_nothing_more():
    once = without_markdown("# A\n\n- **b** `c`\n")
    assert without_markdown(once) == once
