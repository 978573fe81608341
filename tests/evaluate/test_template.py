"""Texts with holes: what a row lacks is an error that names it, and never an empty text."""

from __future__ import annotations

from typing import Any

import pytest

from modiste.errors import InvalidInput
from modiste.evaluate.template import Template, value_of

ROW: dict[str, Any] = {"q": "Why?", "n": 7, "tags": ["a", "b"], "none": None, "deep": {"x": [1]}}


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{{q}}", "Why?"),
        ("{{ item.q }}/{{row['q']}}", "Why?/Why?"),
        ("{{n}} {{tags}} {{deep}}", '7 ["a", "b"] {"x": [1]}'),
        ("<{{none}}>", "<>"),
        ("{% for tag in tags %}{{tag}};{% endfor %}", "a;b;"),
        ("{{ q | upper }}\n", "WHY?\n"),
        ("{{ '<b>' }}", "<b>"),
    ],
)
def test_a_template_shows_the_fields_of_a_row(source: str, said: str) -> None:
    assert Template(source, param="prompt").render(ROW) == said


@pytest.mark.parametrize("source", ["{{answer}}", "{{item.answer}}", "{{deep.y}}", "{{answer.x}}"])
def test_a_field_that_is_missing_is_named_with_those_that_are_there(source: str) -> None:
    with pytest.raises(InvalidInput, match=r"undefined|no attribute") as refused:
        Template(source, param="prompt").render(ROW)
    assert "the row's fields are deep, n, none, q, tags" in refused.value.message
    assert refused.value.param == "prompt"


def test_a_field_called_row_or_item_is_the_field() -> None:
    assert Template("{{item}} {{row}}", param="p").render({"item": "a", "row": "b"}) == "a b"


def test_names_beside_the_row_win_over_it() -> None:
    assert Template("{{q}}", param="p").render(ROW, q="shown") == "shown"


@pytest.mark.parametrize(
    "source", ["{{", "{% if %}", "{{ a b }}", "{% nonsense %}", "{{ q | gone }}"]
)
def test_what_is_no_template_is_refused_with_its_place(source: str) -> None:
    with pytest.raises(InvalidInput, match=r"dataset\.id is .* no template"):
        Template(source, param="dataset.id")


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ q.__init__.__globals__ }}",
        "{{ tags.append('x') }}",
        "{{ deep.update({'x': 1}) }}",
        "{% include '/etc/passwd' %}",
        "{{ 1 / 0 }}",
        "{% for i in range(10**9) %}x{% endfor %}",
    ],
)
def test_a_template_reaches_nothing_but_its_row_and_changes_nothing(source: str) -> None:
    row = {"q": "Why?", "tags": ["a"], "deep": {"y": 2}}
    with pytest.raises(InvalidInput):
        Template(source, param="prompt").render(row)
    assert row == {"q": "Why?", "tags": ["a"], "deep": {"y": 2}}


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("{{tags}}", ["a", "b"]),
        (" {{ n }} ", 7),
        ("{{none}}", None),
        ("{{n}}!", "7!"),
        ("{{item.n}}", "7"),
    ],
)
def test_a_field_alone_keeps_what_it_is(source: str, value: Any) -> None:
    assert value_of(source, ROW, param="dataset.reference") == value
