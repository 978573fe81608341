"""Files of rows for the tests of curation."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from modiste.prepare.curate.stage import Corpus

MakeCorpus = Callable[..., Corpus]


@pytest.fixture
def chat() -> Callable[..., dict[str, Any]]:
    """`chat("question", "answer", user="ada")` is a row with one more field."""

    def make(asked: str, answered: str = "Yes.", **more: Any) -> dict[str, Any]:
        messages = [
            {"role": "user", "content": asked},
            {"role": "assistant", "content": answered},
        ]
        return {"messages": messages, **more}

    return make


@pytest.fixture
def corpus(tmp_path: Path) -> MakeCorpus:
    """`corpus(rows, "name.jsonl")` is a file of them."""

    def make(rows: Iterable[dict[str, Any]], name: str = "rows.jsonl") -> Corpus:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        return Corpus(path, filename=name)

    return make
