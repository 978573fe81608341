from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modiste.errors import Corrupt
from modiste.prepare.curate.origins import Recording, Traced, read_origins
from modiste.prepare.curate.stage import Corpus, write_rows

Rows = Callable[..., Corpus]
Chat = Callable[..., dict[str, Any]]


def _kept(corpus: Corpus, lines: set[int], folder: Path) -> Traced:
    kept = [record for record in corpus if record.line in lines]
    with (folder / "kept.origins").open("wb") as stream:
        recording = Recording(stream)
        for record in kept:
            recording.add(record)
    write_rows(kept, folder / "kept.jsonl")
    return Traced(
        folder / "kept.jsonl",
        folder / "kept.origins",
        recording.files,
        origins_sha256="",
        filename="stage/kept.jsonl",
    )


def test_rows_of_a_stage_say_where_they_stood_at_first(
    tmp_path: Path, corpus: Rows, chat: Chat
) -> None:
    source = corpus([chat("a"), chat("b"), chat("c"), chat("d")], "raw.jsonl")
    once = _kept(source, {2, 4}, tmp_path)
    assert [(r.file, r.line) for r in once] == [("raw.jsonl", 2), ("raw.jsonl", 4)]
    (tmp_path / "again").mkdir()
    twice = _kept(once, {4}, tmp_path / "again")
    assert [(r.file, r.line) for r in twice] == [("raw.jsonl", 4)]
    [origin] = read_origins(twice.origins, twice.files)
    assert origin.id == list(source)[3].id


def test_origins_of_other_rows_are_noticed(tmp_path: Path, corpus: Rows, chat: Chat) -> None:
    traced = _kept(corpus([chat("a"), chat("b")]), {1, 2}, tmp_path)
    lines = traced.origins.read_bytes().splitlines(keepends=True)
    traced.origins.write_bytes(lines[0])
    with pytest.raises(Corrupt):
        list(traced)
    traced.origins.write_bytes(lines[1] + lines[0])
    with pytest.raises(Corrupt):
        list(traced)
