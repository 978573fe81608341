"""nn/model_card.py: cards that Hugging Face parses, and that say what is not known."""

from __future__ import annotations

import json

import yaml
from huggingface_hub import ModelCard

from modiste.nn.model_card import BLANK, DataFile, Facts, text

FULL = Facts(
    name="ft:tiny:me:20261121:abcd1234",
    base="modiste-tiny",
    license="apache-2.0",
    method="lora",
    objective="sft",
    created="2026-11-21T04:00:00Z",
    job="abcd",
    spec={"lora": {"rank": 16}, "seed": 7},
    data=(
        DataFile("chats.jsonl", "ab" * 32, 120, 9000, 1.0),
        DataFile("v.jsonl", role="validation"),
    ),
    metrics={"validation loss (nats per token, n = 512)": 1.25},
    n_trained_tokens=12345,
    parity="Served as trained: 4 rows.",
)


def test_the_front_matter_is_what_the_hub_reads() -> None:
    card = ModelCard(text(FULL, form="peft", proof="verified with X"))
    values = card.data.to_dict()
    assert values["base_model"] == "modiste-tiny"
    assert values["base_model_relation"] == "adapter"
    assert values["library_name"] == "peft"
    assert values["license"] == "apache-2.0"
    assert values["datasets"] == ["chats.jsonl", "v.jsonl"]
    assert values["tags"] == ["modiste", "lora", "peft"]


def test_hashes_figures_certificate_and_spec_stand_in_the_text() -> None:
    said = text(FULL, form="merged", proof="verified with X")
    for part in ("ab" * 32, "| 1.25 |", "12,345", "Served as trained: 4 rows.", "rank: 16"):
        assert part in said
    assert "Form `merged`, verified with X." in said
    assert "base_model_relation: finetune" in said


def test_what_nobody_stated_is_said_to_be_missing() -> None:
    said = text(Facts(name="a", base="b"))
    assert said.count(BLANK) == 2
    assert (
        "Licence of the base: not stated in its files. Licence of this model: not stated." in said
    )
    assert "are not recorded with these weights" in said
    assert "No parity certificate is known." in said
    assert "license" not in yaml.safe_load(said.split("---")[1])


def test_facts_travel_as_json_and_strangers_are_left_out() -> None:
    values = json.loads(json.dumps(FULL.as_json()))
    assert Facts.of_json(values | {"later": 1}) == FULL
