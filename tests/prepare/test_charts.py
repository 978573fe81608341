"""A chart shows every bar, says what it stands for, and cannot be written to from outside."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from modiste.prepare.charts import histogram, number, percent
from modiste.prepare.statistics import Histogram


def lengths(*values):
    made = Histogram()
    for value in values:
        made.add(value)
    return made.to_json()


def svg(text):
    return ElementTree.fromstring(re.match(r"<svg.*</svg>", text).group())


def test_every_bar_says_its_values_and_the_tallest_fills_the_chart():
    drawn = svg(histogram(lengths(*[5] * 30, *[9] * 3), unit="tokens"))

    bars = [rect for rect in drawn.iter("rect") if rect.get("class") == "bar"]
    titles = [title.text for title in drawn.iter("title")]
    assert max(float(bar.get("height")) for bar in bars) == 118
    assert "5 tokens: 30 (90.9%)" in titles


def test_a_single_row_among_thousands_can_be_seen():
    drawn = svg(histogram(lengths(*[5] * 100_000, 19), unit="tokens"))

    heights = [float(r.get("height")) for r in drawn.iter("rect") if r.get("class") == "bar"]
    assert min(height for height in heights if height) >= 1.5


def test_the_sequence_length_is_drawn_where_it_lies():
    assert 'class="limit"' in histogram(lengths(100, 500, 1000), unit="tokens", limit=600)
    assert 'class="limit"' not in histogram(lengths(100, 500), unit="tokens", limit=4096)


def test_nothing_counted_draws_nothing():
    assert histogram(lengths(), unit="tokens") == ""


def test_the_unit_is_escaped():
    assert "<script" not in histogram(lengths(1, 2), unit="<script>")
    assert "<script" not in histogram(lengths(1), unit="<script>")


def test_one_value_needs_no_bars():
    assert "7 in every one." in histogram(lengths(7, 7), unit="tokens")


@pytest.mark.parametrize(
    ("value", "said"), [(1234567, "1,234,567"), (12.34, "12.3"), (None, "–"), (1234.5, "1,234")]
)
def test_numbers_are_short(value, said):
    assert number(value) == said


@pytest.mark.parametrize(
    ("share", "said"), [(0, "0 %"), (0.001, "<1 %"), (0.999, ">99 %"), (1, "100 %")]
)
def test_almost_none_is_not_none(share, said):
    assert percent(share) == said
