from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modiste.errors import InvalidInput
from modiste.prepare.curate.inputs import corpora, one_shape, parts_of
from modiste.prepare.curate.stage import Corpus

Rows = Callable[..., Corpus]
Chat = Callable[..., dict[str, Any]]


def test_a_folder_stands_for_its_files_in_order(tmp_path: Path, corpus: Rows, chat: Chat) -> None:
    corpus([chat("b")], "set/b.jsonl")
    corpus([chat("a")], "set/a.jsonl")
    folder = str(tmp_path / "set")
    found = corpora([folder, f"{folder}/a.jsonl"])
    assert [c.path.name for c in found] == ["a.jsonl", "b.jsonl"]


def test_every_name_that_leads_nowhere_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        corpora([str(tmp_path / "x.jsonl"), str(tmp_path / "y.jsonl")])
    assert "x.jsonl" in caught.value.message
    assert "y.jsonl" in caught.value.message


def test_parts_of_an_earlier_split_are_found_by_name(
    tmp_path: Path, corpus: Rows, chat: Chat
) -> None:
    corpus([chat("a")], "out/train.jsonl")
    assert list(parts_of(str(tmp_path / "out"), ("train", "test"))) == ["train"]
    with pytest.raises(InvalidInput, match=r"none of dev\.jsonl"):
        parts_of(str(tmp_path / "out"), ("dev",))


def test_files_of_different_formats_cannot_become_one(corpus: Rows, chat: Chat) -> None:
    chats = corpus([chat("a")], "chats.jsonl")
    alpaca = corpus([{"instruction": "a", "input": "", "output": "b"}], "alpaca.jsonl")
    assert one_shape([chats, chats]).format == "chat"
    with pytest.raises(InvalidInput) as caught:
        one_shape([chats, alpaca])
    assert "chats.jsonl is chat, alpaca.jsonl is alpaca" in caught.value.message
    assert "modiste data convert" in caught.value.message
