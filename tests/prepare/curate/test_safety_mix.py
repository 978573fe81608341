"""Safety rows beside an application's, and where each is from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from modiste.errors import InvalidInput
from modiste.prepare.curate.safety_mix import SafetyMix, amounts, safety_mix
from modiste.prepare.curate.safety_rows import Category
from modiste.prepare.curate.stage import Corpus
from modiste.prepare.records import Record

Rows = Callable[..., Corpus]
Chat = Callable[..., dict[str, Any]]
RIVALS = Category(
    "rivals",
    "Other shops",
    "Praises another shop",
    ("Buy at Globex.",),
    ("How do I cancel there?",),
)
LAW = Category("law", "Legal advice", "Advice for one case.")


def mixed(
    application: Corpus, others: Iterable[Corpus] = (), **settings: Any
) -> tuple[list[Record], Any]:
    given = {"categories": (RIVALS, LAW), "source": "shop.yaml", **settings}
    outcome = safety_mix(application, list(others), SafetyMix(**given))
    assert isinstance(outcome.kept, Iterable)
    return [row for row in outcome.kept if isinstance(row, Record)], outcome.report


def test_every_application_row_stays_in_its_order_and_each_added_row_has_an_origin(
    corpus: Rows, chat: Chat
) -> None:
    application = corpus([chat(f"q{n}") for n in range(40)], "app.jsonl")
    safety = corpus([chat(f"bad {n}", "I can't.") for n in range(20)], "safety.jsonl")
    rows, report = mixed(application, [safety], safety="10%", generated="10%", seed=3)
    assert [row.line for row in rows[:40]] == list(range(1, 41))
    assert {row.file for row in rows[:40]} == {"app.jsonl"}
    assert len(rows) == 50
    assert report["shares"]["application"] == 0.8
    origins = report["origins"]["added"]
    assert [each["line"] for each in origins] == list(range(41, 51))
    for row, origin in zip(rows[40:], origins, strict=True):
        assert (row.file, row.line, row.id) == (origin["file"], origin["file_line"], origin["id"])
    assert sum(report["categories"].values()) == 5
    assert {each["kind"] for each in origins if each["file"] == "safety.jsonl"} == {"file"}


def test_the_same_seed_draws_the_same_rows_and_another_draws_others(
    corpus: Rows, chat: Chat
) -> None:
    application = corpus([chat("q")], "app.jsonl")
    drawn = [
        [row.id for row in mixed(application, generated="8", seed=seed)[0]] for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2]


def test_nothing_is_added_twice_and_what_cannot_be_is_said(corpus: Rows, chat: Chat) -> None:
    application = corpus([chat("q"), chat("bad", "I can't.")], "app.jsonl")
    safety = corpus([chat("bad", "I can't."), chat("worse", "I won't.")], "safety.jsonl")
    rows, report = mixed(application, [safety], safety="1")
    assert [row.example.messages[0].content for row in rows] == ["q", "bad", "worse"]
    assert [each["file_line"] for each in report["already_there"]] == [1]
    with pytest.raises(InvalidInput, match="safety files have 1 that are not there yet"):
        mixed(application, [safety], safety="2")
    with pytest.raises(InvalidInput, match=r"shop\.yaml makes 19"):
        mixed(application, generated="95%")
    with pytest.raises(InvalidInput, match="leave no application rows"):
        mixed(application, safety="60%", generated="40%")


def test_shares_are_of_all_that_comes_out() -> None:
    assert amounts(80, "10%", "10%") == (10, 10)
    assert amounts(90, "0", "10%") == (0, 10)
    assert amounts(85, "5", "10%") == (5, 10)
    assert amounts(7, "3", "0") == (3, 0)


def test_rows_that_are_no_chats_are_refused(corpus: Rows) -> None:
    with pytest.raises(InvalidInput, match="no chat"):
        mixed(corpus([{"text": "plain"}], "app.jsonl"), generated="1")
