"""Answers held to a JSON Schema."""

import pytest

from modiste.errors import InvalidInput

SCHEMA = {
    "type": "object",
    "properties": {"day": {"enum": ["mon", "tue"]}, "n": {"type": "integer", "minimum": 0}},
    "required": ["day"],
    "additionalProperties": False,
}


def test_an_answer_follows_or_the_score_says_where_it_does_not(bench) -> None:
    form = bench("json_schema", schema=SCHEMA)
    assert form.score('{"day": "mon", "n": 3}').value == 1
    wrong = form.score('{"day": "sun", "n": -1}')
    assert wrong.value == 0
    assert "day: 'sun' is not one of" in wrong.reason
    assert "n: -1 is less than the minimum" in wrong.reason
    assert form.score("Monday").reason.startswith("the answer is not JSON")


def test_fences_only_with_lenient(bench) -> None:
    fenced = '```\n{"day": "mon"}\n```'
    assert bench("json_schema", schema=SCHEMA).score(fenced).value == 0
    assert bench("json_schema", schema=SCHEMA, lenient=True).score(fenced).value == 1


def test_a_schema_that_is_none_is_refused(bench) -> None:
    with pytest.raises(InvalidInput, match="no JSON schema"):
        bench("json_schema", schema={"type": "thing"})


def test_references_are_never_fetched(bench) -> None:
    remote = bench("json_schema", schema={"$ref": "http://127.0.0.1:9/schema.json"})
    score = remote.score("{}")
    assert score.value is None
    assert "which is not in it" in score.reason
