"""Names of vendors' models lead to tokenizers that are there, and sizes are the published ones."""

from __future__ import annotations

from collections import Counter

import pytest

from modiste.cli.known_bases import KNOWN, find, tokenizer_path


def test_every_tokenizer_ships_with_mistral_common():
    assert [
        known.names[0] for known in KNOWN if not tokenizer_path(known.tokenizer).is_file()
    ] == []


def test_no_name_means_two_models():
    counted = Counter(name for known in KNOWN for name in known.names)

    assert [name for name, count in counted.items() if count > 1] == []


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        # Parameters as stated on the model cards, in billions.
        ("open-mistral-7b", 7.25),
        ("ministral-8b-latest", 8.02),
        ("open-mistral-nemo", 12.2),
        ("codestral-latest", 22.2),
        ("mistral-large-2411", 123),
    ],
)
def test_sizes_are_those_of_the_model_cards(name, billions):
    known = find(name)

    assert known is not None
    assert known.shape is not None
    assert known.shape.info().n_parameters / 1e9 == pytest.approx(billions, rel=0.005)


def test_a_hub_name_is_the_same_model():
    assert find("mistralai/Mistral-7B-Instruct-v0.3") == find("open-mistral-7b")
    assert find("gpt-4") is None
