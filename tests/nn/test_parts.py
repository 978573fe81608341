"""The parts of a step are named and ordered as the structures that the kernels read."""

from modiste.nn.native import CLayer, CSpan
from modiste.nn.parts import Layer, Span


def names(structure):
    return [field[0] for field in structure._fields_]


def test_a_span_is_the_beginning_of_its_structure():
    assert names(CSpan) == [*Span._fields, "adapter"]


def test_a_layer_has_the_fields_of_its_structure():
    assert {*names(CLayer)} == {*Layer._fields, "window"}
