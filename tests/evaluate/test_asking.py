"""How a subject asks: one question and the same seeds for all, and what each says before it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from standin_models import suite

from modiste.errors import InvalidInput
from modiste.evaluate.asking import asking_of, prompt_sha256, seed_of
from modiste.evaluate.items import Item
from modiste.types import Message, Role

ITEM = Item("k", {"country": "France"}, "Paris")
SHOTS = [Item(f"s{n}", {"country": f"c{n}"}, f"C{n}") for n in range(6)]


def subject(**changes: Any) -> Any:
    return suite(models={"base": {"model": "tiny", **changes}}).models["base"]


def turns(asked: Any) -> list[tuple[str, str]]:
    return [(turn.role.value, turn.content) for turn in asked.prompt(ITEM, 0).messages]


def test_a_prompt_is_one_question_from_the_user() -> None:
    prompt = asking_of(suite(), subject()).prompt(ITEM, 0)
    assert prompt.messages == (Message(Role.USER, "Capital of France?"),)
    assert (prompt.max_tokens, prompt.temperature) == (256, 0.0)


def test_a_subjects_system_prompt_takes_the_place_of_the_suites() -> None:
    messages = [
        {"role": "system", "content": "Be brief on {{country}}."},
        {"role": "user", "content": "Capital?"},
    ]
    wanted = suite(prompt=None, messages=messages)
    question = ("user", "Capital?")
    assert turns(asking_of(wanted, subject())) == [("system", "Be brief on France."), question]
    own = asking_of(wanted, subject(system="In {{country}} only."))
    assert turns(own) == [("system", "In France only."), question]


def test_examples_stand_between_system_prompt_and_question_as_turns() -> None:
    asked = asking_of(
        suite(), subject(system="Be brief.", shots={"file_id": "s", "n": 2, "seed": 1}), SHOTS
    )
    told = turns(asked)
    assert [role for role, _ in told] == ["system", *["user", "assistant"] * 2, "user"]
    assert told[1][1].replace("Capital of c", "").rstrip("?") == told[2][1].removeprefix("C")
    assert told[-1] == ("user", "Capital of France?")
    assert told == turns(
        asking_of(
            suite(), subject(system="Be brief.", shots={"file_id": "s", "n": 2, "seed": 1}), SHOTS
        )
    )


def test_examples_that_are_no_text_are_shown_as_json() -> None:
    pool = [Item("s", {"country": "c"}, {"capital": "Ü"})]
    asked = asking_of(suite(), subject(shots={"file_id": "s", "n": 1}), pool)
    assert turns(asked)[1] == ("assistant", '{"capital": "Ü"}')


def test_too_few_examples_and_examples_without_an_answer_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"shots\.n is 9, .* 6 rows"):
        asking_of(suite(), subject(shots={"file_id": "s", "n": 9}), SHOTS)
    without = [replace(shot, reference=None) for shot in SHOTS]
    with pytest.raises(InvalidInput, match=r"dataset\.reference"):
        asking_of(suite(), subject(shots={"file_id": "s", "n": 2}), without)


def test_every_subject_gets_the_same_seed_for_an_item_and_attempt() -> None:
    plain = asking_of(suite(), subject())
    other = asking_of(suite(), subject(system="Be brief.", sampling={"temperature": 1.0}))
    for attempt in range(3):
        assert plain.prompt(ITEM, attempt).seed == other.prompt(ITEM, attempt).seed


def test_seeds_differ_by_item_attempt_and_the_suites_seed() -> None:
    drawn = [seed_of(s, key, k) for s in range(3) for key in "abcdefgh" for k in range(8)]
    # Odds that any two of 192 draws of 31 bits are equal: 192²/2 ÷ 2³¹, 1 in 116,000.
    assert len(set(drawn)) == len(drawn)
    assert all(0 <= seed < 2**31 for seed in drawn)
    # `printf 0:0:r1 | b2sum -l 64`, its first 31 bits: another would make old runs unrepeatable.
    assert seed_of(0, "r1", 0) == 0xEAAF0CF913E52E05 >> 33


def test_a_row_with_a_field_called_reference_shows_that_field() -> None:
    wanted = suite(prompt="Read {{reference}}.")
    asked = asking_of(wanted, subject())
    assert asked.prompt(replace(ITEM, row={"reference": "p. 7"}), 0).messages[0].content == (
        "Read p. 7."
    )
    assert asked.prompt(ITEM, 0).messages[0].content == "Read Paris."
    with pytest.raises(InvalidInput, match="reference"):
        asked.prompt(replace(ITEM, reference=None), 0)


def test_what_a_scorer_arranged_is_shown_in_place_of_the_row() -> None:
    wanted = suite(prompt="{{choices}}")
    shown = replace(ITEM, row={"choices": ["a", "b"]}, arranged={"choices": ["b", "a"]})
    assert asking_of(wanted, subject()).prompt(shown, 0).messages[0].content == '["b", "a"]'


def test_the_hash_of_a_prompt_changes_with_all_that_is_said_around_the_rows() -> None:
    base = prompt_sha256(suite(), subject())
    assert base == prompt_sha256(suite(), subject(sampling={"temperature": 1.0}))
    for wanted, who in (
        (suite(prompt="Capital of {{country}}!"), subject()),
        (suite(), subject(system="x")),
        (suite(), subject(shots={"file_id": "s"})),
        (suite(tools=[{"type": "function"}]), subject()),
        (suite(response_schema={"type": "object"}), subject()),
    ):
        assert prompt_sha256(wanted, who) != base
