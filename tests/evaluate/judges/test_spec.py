"""What a judge is told about an item."""

from __future__ import annotations

import pytest

from modiste.errors import InvalidInput
from modiste.evaluate.items import Item
from modiste.evaluate.judges.pointwise import RubricSpec
from modiste.evaluate.judges.spec import JudgeFields, Material, as_text, identity_of
from modiste.evaluate.rag.relevancy import AnswerRelevancySpec
from modiste.evaluate.rag.retrieval import ContextPrecisionSpec


def test_templates_say_what_is_request_reference_and_context():
    fields = JudgeFields(model="j", request="{{q}} ({{n}})", reference="{{r}}", context="{{c}}")
    item = Item("k", {"q": "Why", "n": 2, "r": ["a", "b"], "c": ""})
    assert fields.material(item) == Material("Why (2)", "a\nb", None, ("a", "b"))


def test_a_field_that_the_row_lacks_is_named():
    with pytest.raises(InvalidInput, match="question"):
        JudgeFields(model="j").material(Item("k", {"q": "Why"}))


def test_several_requests_alike_get_seeds_of_their_own():
    fields = JudgeFields(model="j", seed=4)
    assert [fields.prompt((), nth=nth).seed for nth in range(3)] == [4, 5, 6]


@pytest.mark.parametrize(
    ("value", "text"),
    [("x", "x"), (None, ""), (["x", "y"], "x\ny"), ([1, 2], "[1, 2]"), (True, "true")],
)
def test_fields_are_read_as_texts(value, text):
    assert as_text(value) == text


def test_an_identity_does_not_depend_on_the_order_of_fields():
    assert identity_of({"a": 1, "b": 2}) == identity_of({"b": 2, "a": 1})
    assert identity_of({"a": 1}) != identity_of({"a": 2})


def test_a_suite_is_told_whom_its_scorers_ask():
    judged = RubricSpec(kind="rubric", model="j")
    embedded = AnswerRelevancySpec(kind="answer_relevancy", model="j", embedding_model="e")
    exact = ContextPrecisionSpec(kind="context_precision", retrieved="{{a}}", relevant="{{b}}")
    assert (judged.models, embedded.models, exact.models) == (("j",), ("j", "e"), ())
