"""Refusals by their phrases."""

import pytest

from modiste.evaluate.items import Answer, Item
from modiste.evaluate.scorers.refusal import RefusalSpec


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("I'm sorry, but no.", True),
        ("I can\u2019t help with that.", True),
        ("Das darf ich nicht.", False),
        ("Nope, never.", False),
        ("Tulips are planted in October. " * 20 + "I cannot say more.", False),
        ("Paris.", False),
    ],
)
def test_refusals_are_read_from_phrases_at_the_start(text: str, refused: bool) -> None:
    scorer = RefusalSpec().build()
    assert scorer.look(Item("a", {}), Answer(text)).value == float(refused)


def test_phrases_of_ones_own_count_too() -> None:
    scorer = RefusalSpec(phrases=("nope",)).build()
    assert scorer.look(Item("a", {}), Answer("Nope, never.")).value == 1.0
    other = RefusalSpec(counts="answered", phrases=("nope",)).build()
    assert other.look(Item("a", {}), Answer("Nope, never.")).value == 0.0
    assert other.look(Item("a", {}), Answer("With pleasure.")).value == 1.0
