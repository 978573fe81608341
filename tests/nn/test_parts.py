"""The parts of a step are named and ordered as the structures that the kernels read."""

from modiste.nn.native import CFeedForward, CLayer, CMixture, CSpan
from modiste.nn.parts import Experts, FeedForward, Layer, Span
from modiste.nn.shape import Mixture


def names(structure):
    return [field[0] for field in structure._fields_]


def test_a_span_is_the_beginning_of_its_structure():
    assert names(CSpan) == [*Span._fields, "adapter"]


def test_a_layer_has_the_fields_of_its_structure():
    assert {*names(CLayer)} == {*Layer._fields, "window", "router", "experts"}
    assert names(CFeedForward) == [*FeedForward._fields]


def test_a_mixture_is_told_its_structure():
    assert [*Experts._fields] == ["router", "each"]
    assert names(CMixture) == [field for field in Mixture._fields if field != "layers"]
