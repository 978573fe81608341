from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modiste.errors import InvalidInput
from modiste.prepare.curate.manifest import (
    MANIFEST,
    UNFINISHED,
    Publication,
    read_manifest,
    read_sources,
)
from modiste.prepare.curate.pipeline import CACHE, run
from modiste.prepare.curate.stage import Corpus
from modiste.prepare.curate.steps import parse

Rows = Callable[..., Corpus]
Chat = Callable[..., dict[str, Any]]


@pytest.fixture
def dataset(tmp_path: Path, corpus: Rows, chat: Chat) -> Path:
    corpus([chat("a"), chat("b"), chat("a")], "raw.jsonl")
    values = {"inputs": "raw.jsonl", "stages": ["merge"], "output": "set", "name": "questions"}
    run(parse(values, folder=tmp_path))
    return tmp_path / "set"


def test_a_manifest_names_files_stages_settings_and_versions(dataset: Path) -> None:
    manifest = read_manifest(dataset)
    assert manifest["name"] == "questions"
    assert len(manifest["version"]) == 16
    assert manifest["modiste_version"]
    [stage] = manifest["stages"]
    assert stage["version"] == 1
    assert stage["settings"]["repeats"] == "drop"
    assert stage["rows_in"] == 3
    assert stage["rows_out"] == {"data": 2}
    assert manifest["outputs"]["data"]["format"] == "chat"


def test_rows_lead_back_to_their_lines(dataset: Path) -> None:
    found = [(row.part, row.line, row.file, row.source_line) for row in read_sources(dataset)]
    assert found == [("data", 1, "raw.jsonl", 1), ("data", 2, "raw.jsonl", 2)]


def test_the_version_follows_the_rows(
    dataset: Path, tmp_path: Path, corpus: Rows, chat: Chat
) -> None:
    before = read_manifest(dataset)["version"]
    corpus([chat("a"), chat("c")], "raw.jsonl")
    run(parse({"inputs": "raw.jsonl", "stages": ["merge"], "output": "set"}, folder=tmp_path))
    assert read_manifest(dataset)["version"] != before


def test_a_folder_without_a_manifest_is_no_dataset(dataset: Path) -> None:
    (dataset / MANIFEST).unlink()
    with pytest.raises(InvalidInput, match="no finished dataset"):
        read_manifest(dataset)


@pytest.mark.parametrize("content", ["{", "[]", '{"modiste_dataset": 99}'])
def test_a_manifest_of_another_kind_is_refused(dataset: Path, content: str) -> None:
    (dataset / MANIFEST).write_text(content)
    with pytest.raises(InvalidInput, match=MANIFEST):
        read_manifest(dataset)


def test_a_filling_that_was_interrupted_may_be_repeated_over_what_it_left(dataset: Path) -> None:
    (dataset / MANIFEST).unlink()
    publication = Publication(dataset, dataset / CACHE)
    with pytest.raises(InvalidInput, match="which no pipeline wrote"):
        publication.refuse_changed()
    (dataset / CACHE / UNFINISHED).write_text(json.dumps(["data.jsonl"]))
    publication.refuse_changed()
