"""Entries of a suite become scorers, or everything wrong with them is said at once."""

import pytest

from modiste.errors import InvalidInput
from modiste.evaluate.scorers.registry import parse


def test_a_bare_word_is_a_kind_with_its_defaults() -> None:
    (scorer,) = parse(["exact"])
    assert scorer.name == "exact"
    assert scorer.config["kind"] == "exact"


def test_all_problems_come_at_once_with_the_nearest_names() -> None:
    entries = ["exat", {"kind": "exact", "normalize": "loose"}, {"kind": "numeric", "abs": -1}, 3]
    with pytest.raises(InvalidInput) as refused:
        parse(entries)
    said = refused.value.message
    assert "did you mean 'exact'?" in said
    assert "did you mean 'normalise'?" in said
    assert "greater than or equal to 0, got -1" in said
    assert len(refused.value.problems) == 4


def test_identity_is_of_options_and_not_of_the_name() -> None:
    one, renamed, other = parse(
        [
            {"kind": "exact"},
            {"kind": "exact", "name": "again"},
            {"kind": "exact", "normalise": "loose", "name": "loose"},
        ]
    )
    assert one.identity == renamed.identity != other.identity
