"""`modiste classify`: which lines are texts, and how labels are shown."""

from __future__ import annotations

import json

import pytest

from modiste.cli import classify
from modiste.errors import InvalidInput

TARGETS = [
    {"name": "mood", "labels": ["bad", "good"], "loss_function": "single_class"},
    {"name": "of", "labels": ["food", "room"], "loss_function": "multi_class"},
]


class Client:
    """Answers with the length of each text; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    def get(self, path: str) -> dict:
        return {"classifier_targets": TARGETS if path.endswith("ft:c") else None}

    def post(self, path: str, body: dict) -> dict:
        self.asked.append((path, len(body["input"])))
        return {"results": [{"mood": {"scores": {"n": len(str(one))}}} for one in body["input"]]}


def test_lines_are_texts_unless_they_are_json_rows(tmp_path) -> None:
    chat = {"messages": [{"role": "user", "content": "hi"}]}
    lines = ["plain", "", json.dumps({"text": "of a row", "label": 3}), json.dumps(chat), "{odd"]
    file = tmp_path / "in.txt"
    file.write_text("\n".join(lines))
    assert [tuple(one) for one in classify._read(str(file))] == [
        (1, "plain"), (3, "of a row"), (4, chat), (5, "{odd"),
    ]  # fmt: skip


def test_a_row_without_a_text_is_refused_with_its_line(tmp_path) -> None:
    file = tmp_path / "in.jsonl"
    file.write_text('{"text": "a"}\n{"txt": "b"}\n')
    with pytest.raises(InvalidInput, match="line 2: the row has neither text nor messages"):
        list(classify._read(str(file)))
    with pytest.raises(InvalidInput, match="cannot be read"):
        list(classify._read(str(tmp_path / "none")))


def test_many_texts_are_sent_in_parts_and_told_in_their_order() -> None:
    given = [classify.Given(n, "x" * (n % 5 + 1)) for n in range(1, 1202)]
    given[3] = classify.Given(4, {"messages": []})
    client = Client()
    told = list(classify._told(client, "ft:c", given))
    assert [row["line"] for row in told] == list(range(1, 1202))
    assert all(
        row["results"]["mood"]["scores"]["n"] == len(str(one.value))
        for row, one in zip(told, given, strict=True)
    )
    assert client.asked == [
        ("/v1/classifications", 500), ("/v1/classifications", 500),
        ("/v1/classifications", 200), ("/v1/chat/classifications", 1),
    ]  # fmt: skip


def test_of_single_labels_the_first_is_shown_of_others_all_that_hold() -> None:
    results = {
        "mood": {"scores": {"bad": 0.3, "good": 0.7}},
        "of": {"scores": {"food": 0.6, "room": 0.9}},
    }
    assert list(classify._best(results, TARGETS)) == ["good 0.70", "food 0.60, room 0.90"]
    results["of"]["scores"] = {"food": 0.1, "room": 0.5}
    assert list(classify._best(results, TARGETS))[1] == "none"


def test_a_model_that_writes_is_refused_with_what_to_type() -> None:
    assert classify._targets(Client(), "ft:c") == TARGETS
    with pytest.raises(InvalidInput, match="modiste chat modiste-tiny"):
        classify._targets(Client(), "modiste-tiny")
