"""The tables of other tools' names hold together."""

from __future__ import annotations

from modiste.tune.foreign import ALIASES, DECIDED_HERE, MISTRAL_FINETUNE_DEFAULTS, ONLY_VALUE
from modiste.tune.spec import CANONICAL


def test_every_name_stands_in_one_table() -> None:
    assert not set(ALIASES) & set(DECIDED_HERE)
    assert not set(ALIASES) & set(ONLY_VALUE)
    assert not set(DECIDED_HERE) & set(ONLY_VALUE)


def test_every_reason_is_a_sentence_part_for_people() -> None:
    for reason in (*DECIDED_HERE.values(), *(reason for _, reason in ONLY_VALUE.values())):
        assert reason
        assert not reason.endswith("."), reason


def test_defaults_of_mistral_finetune_are_fields_of_ours() -> None:
    assert set(MISTRAL_FINETUNE_DEFAULTS) <= set(CANONICAL)
