"""Sentences are numbered, quotations are found."""

from __future__ import annotations

import pytest

from modiste.evaluate.rag.sentences import numbered, quoted_in, sentences


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("He was born. He died.", ("He was born.", "He died.")),
        ("It costs 3.50 today. Buy!", ("It costs 3.50 today.", "Buy!")),
        ("Dr. Smith met J. Doe. They spoke.", ("Dr. Smith met J. Doe.", "They spoke.")),
        ('He said "Stop." Then he left.', ('He said "Stop.', "Then he left.")),
        ("- one\n- two\n\nthree", ("- one", "- two", "three")),
        ("第一句。第二句。", ("第一句。", "第二句。")),
        ("see e.g. the law", ("see e.g. the law",)),
        ("  \n ", ()),
    ],
    ids=["two", "number", "titles", "quoted", "lines", "chinese", "abbreviated", "empty"],
)
def test_sentences(text, lines):
    assert sentences(text) == lines


def test_sentences_are_numbered_from_one():
    assert numbered(("a", "b")) == "[1] a\n[2] b"


@pytest.mark.parametrize(
    ("quote", "there"),
    [
        ("born on 14 March", True),
        ("“Born  on\n14 march”", True),
        ("Einstein … 14 March 1879.", True),
        ("born on 15 March", False),
        ("", False),
        ("...", False),
    ],
)
def test_quotations_are_found_whatever_their_spacing_and_case(quote, there):
    assert quoted_in(quote, "Albert Einstein was born on 14 March 1879 in Ulm.") is there
