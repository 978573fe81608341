from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from modiste.errors import InvalidInput
from modiste.prepare.curate.split import STAGE, Split, split
from modiste.prepare.curate.stage import Corpus, Parts, parse_settings, write_parts

Rows = Callable[..., Corpus]
Chat = Callable[..., dict[str, Any]]


def _parts(inputs: list[Corpus], settings: Split) -> dict[str, str]:
    """Part by row id; a row that is there twice must be in one part."""
    kept = split(inputs, settings).kept
    assert isinstance(kept, Parts)
    found: dict[str, str] = {}
    for part, record in kept.routed():
        assert found.setdefault(record.id, part) == part
    return found


def _many(chat: Chat, n: int, **more: Any) -> list[dict[str, Any]]:
    return [chat(f"question {at}", f"answer {at}", **more) for at in range(n)]


@pytest.mark.parametrize("preset", ["80/20", "70/15/15"])
def test_presets_give_their_shares(corpus: Rows, chat: Chat, preset: str) -> None:
    """2,000 rows: a share of .2 has a standard error of .009; five of them fail once in 10**6."""
    chosen = Split.model_validate({"parts": preset})
    report = split([corpus(_many(chat, 2_000))], chosen).report
    assert list(report["parts"]) == ["train", "validation", "test"][: len(chosen.parts)]
    for name, share in chosen.parts.items():
        assert abs(report["parts"][name]["share"] - share) < 0.05


def test_adding_rows_anywhere_never_moves_old_ones(corpus: Rows, chat: Chat) -> None:
    old = _many(chat, 300)
    new = [chat(f"other {at}") for at in range(300)]
    mixed = [row for pair in zip(new, old, strict=True) for row in pair]
    before = _parts([corpus(old)], Split())
    after = _parts([corpus(mixed, "more.jsonl")], Split())
    assert {row: after[row] for row in before} == before


@hypothesis_settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.tuples(st.integers(0, 15), st.integers(0, 15), st.integers(0, 5)),
        min_size=30,
        max_size=60,
    )
)
def test_no_group_is_ever_in_two_parts(
    corpus: Rows, chat: Chat, drawn: list[tuple[int, int, int]]
) -> None:
    rows = [chat(f"q{q}", f"a{a}", user=f"u{u}-{q}") for q, a, u in drawn]
    source = corpus(rows)
    try:
        kept = split([source], Split(group_by=("prompt", "user"))).kept
    except InvalidInput:  # everything is one group
        return
    assert isinstance(kept, Parts)
    seen: dict[str, str] = {}
    n = 0
    for part, record in kept.routed():
        n += 1
        for value in (record.value["messages"][0]["content"], record.value["user"]):
            assert seen.setdefault(value, part) == part
    assert n == len(rows)


def test_the_same_prompt_in_other_words_of_case_stays_together(corpus: Rows, chat: Chat) -> None:
    rows = _many(chat, 100) + [chat(f"  QUESTION {at}", "other") for at in range(100)]
    outcome = split([corpus(rows)], Split())
    assert outcome.report["groups"]["of_several_rows"] == 100
    assert isinstance(outcome.kept, Parts)
    parts: dict[str, str] = {}
    for part, record in outcome.kept.routed():
        prompt = record.value["messages"][0]["content"].strip().lower()
        assert parts.setdefault(prompt, part) == part


def test_near_duplicates_stay_together_when_asked(corpus: Rows, chat: Chat) -> None:
    text = " ".join(f"word{at}" for at in range(60))
    rows = [chat(f"{text} {at}") for at in range(60)]
    source = corpus(rows + _many(chat, 60))
    groups = split([source], Split(near=True)).report["groups"]
    assert groups["largest"] == 60
    assert groups["by"] == ["prompt", "near-duplicates"]


def test_another_salt_is_another_split(corpus: Rows, chat: Chat) -> None:
    source = corpus(_many(chat, 200))
    assert _parts([source], Split()) != _parts([source], Split(salt="other"))


def test_a_class_with_too_few_rows_in_a_part_is_refused_by_name(corpus: Rows, chat: Chat) -> None:
    rows = _many(chat, 400, label="common") + [chat(f"r{at}", label="rare") for at in range(10)]
    source = corpus(rows)
    with pytest.raises(InvalidInput) as caught:
        split([source], Split.model_validate({"parts": "70/15/15", "stratify": "label"}))
    assert "'rare' has" in caught.value.message
    assert "'common'" not in caught.value.message
    assert "min_positives" in caught.value.message
    accepted = Split(stratify="label", min_positives=0)
    classes = split([source], accepted).report["classes"]
    assert sum(classes["rare"].values()) == 10
    assert sum(classes["common"].values()) == 400


def test_exact_shares_hold_for_every_class(corpus: Rows, chat: Chat) -> None:
    rows = [chat(f"q{at}", label="abcd"[at % 4]) for at in range(800)]
    settings = Split.model_validate({"parts": "70/15/15", "stratify": "label", "exact": True})
    classes = split([corpus(rows)], settings).report["classes"]
    assert all(row == {"train": 140, "validation": 30, "test": 30} for row in classes.values())


def test_rows_of_an_earlier_split_stay_even_where_exact_shares_would_move_them(
    tmp_path: Path, corpus: Rows, chat: Chat
) -> None:
    rows = [chat(f"q{at}", label="ab"[at % 2]) for at in range(400)]
    exact: dict[str, Any] = {"stratify": "label", "exact": True}
    first = Split.model_validate(exact)
    source = corpus(rows)
    write_parts(STAGE, split([source], first), tmp_path / "first", settings=first, inputs=[source])
    before = _parts([source], first)
    more = corpus(rows + [chat(f"new{at}", label="ab"[at % 2]) for at in range(100)], "m.jsonl")
    assert any(_parts([more], first)[row] != part for row, part in before.items())
    again = Split.model_validate({**exact, "previous": str(tmp_path / "first")})
    after = _parts([more], again)
    assert {row: after[row] for row in before} == before
    report = split([more], again).report
    assert report["stayed"] == 400
    assert report["classes"]["a"] == {"train": 200, "validation": 50}


def test_a_frozen_test_set_gets_nothing_new_and_nothing_of_it_is_trained_on(
    corpus: Rows, chat: Chat
) -> None:
    frozen = corpus([chat(f"question {at}", "the truth") for at in range(20)], "frozen.jsonl")
    rows = corpus(_many(chat, 300))
    settings = Split.model_validate({"parts": "70/15/15", "frozen_test": str(frozen.path)})
    outcome = split([rows], settings)
    assert isinstance(outcome.kept, Parts)
    placed = [(part, r) for part, r in outcome.kept.routed()]
    test = [r.value for part, r in placed if part == "test"]
    assert test == [r.value for r in frozen]
    asked = {r.value["messages"][0]["content"] for part, r in placed if part != "test"}
    assert len(asked) == 280
    assert not asked & {f"question {at}" for at in range(20)}
    dropped = outcome.report["dropped"]
    assert [row["line"] for row in dropped] == list(range(1, 21))
    assert dropped[0]["reason"] == "belongs to a row of the frozen test set"
    unfrozen = _parts([rows], Split.model_validate({"parts": "70/15/15"}))
    assert all(unfrozen[r.id] in (part, "test") for part, r in placed if part != "test")


def test_an_empty_part_is_refused(corpus: Rows, chat: Chat) -> None:
    with pytest.raises(InvalidInput, match="would be empty: 3 rows in 1 groups"):
        split([corpus([chat("same", str(at)) for at in range(3)])], Split())


def test_one_group_that_is_most_of_the_rows_is_warned_of(corpus: Rows, chat: Chat) -> None:
    rows = _many(chat, 100) + [chat("same", str(at)) for at in range(50)]
    report = split([corpus(rows)], Split()).report
    assert (
        "50 of 150 rows are one group (the first is rows.jsonl line 101)" in report["warnings"][0]
    )


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"parts": {"train": 0.5, "test": 0.4}}, "the shares sum to 0.9, expected 1"),
        ({"parts": {"train": 1.0}}, "at least two"),
        ({"parts": {"../train": 0.5, "test": 0.5}}, "cannot name a file"),
        ({"parts": "60/40"}, "presets are 80/20, 70/15/15"),
        ({"stratified": "label"}, "did you mean stratify?"),
        ({"min_positives": 3}, "needs stratify"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(values: Mapping[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_settings(Split, values, where="split")
    assert said in caught.value.message


def test_parts_can_be_written_as_one_text() -> None:
    chosen = parse_settings(Split, {"parts": "train=0.9, validation=0.1"}, where="split")
    assert chosen.parts == {"train": 0.9, "validation": 0.1}
