"""What the process that keeps grammars answers to each frame."""

from pathlib import Path

import pytest

import modiste
from modiste.errors import InvalidInput, ModisteError
from modiste.prepare import render
from modiste.serve.constraint import places_of, refusal_of
from modiste.serve.grammar_child import Child

TINY = Path(modiste.__file__).parent / "bases" / "tiny"


@pytest.fixture(scope="module")
def tokens():
    return render.load(TINY).encode("yes")


@pytest.fixture
def child():
    return Child(TINY)


def test_answers_have_places_of_their_own_until_they_are_dropped(child, tokens):
    for number in (1, 2):
        (place,) = places_of(child.compiles([number, "regex", "yes|no", ""]))
        assert any(place.bits)
    for token in tokens:
        moved, other = places_of(child.steps([[[1, token], [2, tokens[0]]], []]))
    assert moved.complete
    assert other.complete == (len(tokens) == 1)
    (still,) = places_of(child.steps([[[2, tokens[0]]], [1]]))
    assert still.problem
    with pytest.raises(KeyError):
        child.steps([[[1, tokens[0]]], []])


def test_what_is_refused_says_why(child):
    refused = refusal_of(child.compiles([1, "regex", "(", ""]))
    assert isinstance(refused, InvalidInput)
    assert refused.error_code == "invalid_request"
    begun = refusal_of(child.compiles([1, "regex", "yes|no", "maybe"]))
    assert isinstance(begun, InvalidInput)
    assert "'maybe'" in begun.message


def test_what_nobody_foresaw_is_told_and_logged(child, caplog):
    broken = refusal_of(child.compiles([1, "no kind", "yes", ""]))
    assert isinstance(broken, ModisteError)
    assert "no kind" in broken.message
    assert "could not be compiled" in caplog.text
    assert places_of(child.compiles([1, "regex", "yes", ""]))
