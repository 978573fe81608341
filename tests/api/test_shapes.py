"""Cards and files as both vendors' clients read them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from modiste.api import shapes
from modiste.types import Abilities, File, Model, ModelKind, Page, Parity, Purpose

AT = datetime(2026, 11, 20, 12, 0, 0, 999_999, tzinfo=UTC)


def test_times_are_whole_seconds() -> None:
    assert shapes.seconds(AT) == 1795176000
    assert shapes.seconds_or_none(None) is None


def test_a_file_always_has_what_clients_insist_on() -> None:
    file = File("f", "t.jsonl", Purpose.FINE_TUNE, 0, "ab" * 32, AT, "key", "instruct")
    told = shapes.file_object(file).model_dump()
    assert told["bytes"] == 0
    assert (told["sample_type"], told["source"], told["deleted"]) == ("instruct", "upload", False)
    assert (told["status"], told["status_details"]) == ("processed", None)
    assert told["signature"] == "abababababababab"
    listed = shapes.file_list(Page((file,), 7, has_more=True)).model_dump()
    assert (listed["object"], listed["total"], listed["has_more"]) == ("list", 7, True)


def test_a_tuned_card_has_a_job_and_a_root_and_a_base_card_has_neither() -> None:
    base = Model("b", ModelKind.BASE, AT, 2048, "/b", "modiste", aliases=("x",))
    tuned = Model(
        "ft:b:1", ModelKind.FINE_TUNED, AT, 2048, "/b", "org", root="x", base="b", job_id="j"
    )
    base_card = shapes.model_card(base).model_dump()
    tuned_card = shapes.model_card(tuned).model_dump()
    assert base_card["type"] == "base"
    assert "job" not in base_card
    assert base_card["root"] is None
    assert (tuned_card["type"], tuned_card["job"], tuned_card["root"]) == ("fine-tuned", "j", "x")
    assert base_card["capabilities"]["fine_tuning"] is True
    assert tuned_card["capabilities"]["fine_tuning"] is False
    for card in (base_card, tuned_card):
        assert card["created"] == 1795176000
        assert card["permission"] == []
        assert card["default_model_temperature"] == 0.7


def test_a_model_that_the_engine_cannot_compute_says_that_it_cannot_chat() -> None:
    elsewhere = Parity(True, 8, 90, 0.0, 0.0, 1e-3, 0.5, "read afresh", served=False)
    plain = Model("ft:b:1", ModelKind.FINE_TUNED, AT, 2048, "/b", "org", root="x", job_id="j")
    for parity, chats in ((None, True), (elsewhere, False)):
        tuned = replace(plain, parity=parity)
        assert shapes.model_card(tuned).capabilities.completion_chat is chats
        assert shapes.tuned_model_out(tuned, org="o").capabilities.completion_chat is chats


ABLE = {"completion_chat", "completion_fim", "function_calling", "reasoning"}


@pytest.mark.parametrize(
    ("abilities", "able"),
    [
        (None, {"completion_chat"}),
        (Abilities(), {"completion_chat"}),
        (Abilities(fim=True), {"completion_chat", "completion_fim"}),
        (Abilities(tools=True), {"completion_chat", "function_calling"}),
        (Abilities(thoughts=True), {"completion_chat", "reasoning"}),
        (Abilities(fim=True, tools=True, thoughts=True), ABLE),
        (Abilities(chats=False), set()),
        (Abilities(chats=False, fim=True, tools=True, thoughts=True), {"completion_fim"}),
    ],
)
def test_cards_say_what_the_prompt_format_of_the_base_can_do(
    abilities: Abilities | None, able: set[str]
) -> None:
    base = Model("b", ModelKind.BASE, AT, 2048, "/b", "modiste", abilities=abilities)
    tuned = replace(base, id="ft:b:1", kind=ModelKind.FINE_TUNED, root="b", base="b", job_id="j")
    assert able_of(shapes.model_card(base)) == able | {"fine_tuning"}
    assert able_of(shapes.model_card(tuned)) == able
    assert able_of(shapes.tuned_model_out(tuned, org="o")) == able


def test_what_cannot_be_asked_at_all_can_do_nothing_whatever_its_format() -> None:
    everything = Abilities(fim=True, tools=True, thoughts=True)
    elsewhere = Parity(True, 8, 90, 0.0, 0.0, 1e-3, 0.5, "read afresh", served=False)
    tuned = Model("ft:b:1", ModelKind.FINE_TUNED, AT, 2048, "/b", "org", root="x", job_id="j",
                  parity=elsewhere, abilities=everything)  # fmt: skip
    assert able_of(shapes.model_card(tuned)) == set()
    assert able_of(shapes.tuned_model_out(tuned, org="o")) == set()
    embedder = Model("e", ModelKind.BASE, AT, 24, "/e", "local", makes_embeddings=True)
    assert able_of(shapes.model_card(embedder)) == set()


def able_of(card: shapes.ModelCard | shapes.TunedModelOut) -> set[str]:
    return {name for name, yes in card.capabilities.model_dump().items() if yes}


def test_an_update_answers_what_newer_clients_need_beyond_the_card() -> None:
    tuned = Model("ft:b:1", ModelKind.FINE_TUNED, AT, 2048, "/b", "org", root="x", job_id="j")
    told = shapes.tuned_model_out(tuned, org="94489706").model_dump()
    assert (told["workspace_id"], told["root_version"], told["model_type"]) == (
        "94489706",
        "",
        "completion",
    )
