"""Rows that a trainer left: read whole, or refused; ids as completions make them.

That other ids fail a job is held in test_parity.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modiste.errors import ParityFailed
from modiste.work.trained_rows import read_rows

ROW: dict[str, Any] = {
    "text": "abc",
    "ids": [1, 2, 3],
    "mask": [False, True, True],
    "logprobs": [-1.0, -2.0],
    "base_logprobs": [-3.0, -4.0],
}
GREEDY = {"n_prompt": 2, "ids": [5, 6], "margins": [0.5, 0.25]}


def written(folder: Path, **row: Any) -> Path:
    path = folder / "parity.json"
    path.write_text(json.dumps({"rows": [{**ROW, **row}]}))
    return path


def test_a_row_comes_back_with_its_greedy_answer(tmp_path: Path) -> None:
    (row,) = read_rows(written(tmp_path, greedy=GREEDY))
    assert row.greedy is not None
    assert (row.prompt, row.greedy.ids, row.greedy.margins) == ([1, 2], [5, 6], [0.5, 0.25])


@pytest.mark.parametrize("greedy", [{}, {"greedy": None}])
def test_a_row_without_one_has_no_prompt(tmp_path: Path, greedy: dict[str, Any]) -> None:
    (row,) = read_rows(written(tmp_path, **greedy))
    assert (row.greedy, row.prompt) == (None, [])


@pytest.mark.parametrize(
    "broken", [{"n_prompt": 4}, {"n_prompt": 0}, {"margins": [0.5]}, {"ids": None}]
)
def test_a_greedy_answer_that_does_not_fit_its_row_is_refused(
    tmp_path: Path, broken: dict[str, Any]
) -> None:
    with pytest.raises(ParityFailed, match="cannot be compared"):
        read_rows(written(tmp_path, greedy={**GREEDY, **broken}))


@pytest.mark.parametrize(
    "content",
    ["", "{}", '{"rows": []}', '{"rows": [{"messages": []}]}', '{"rows": [{"text": "a"}]}'],
)
def test_what_cannot_be_compared_proves_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "parity.json").write_text(content)
    with pytest.raises(ParityFailed):
        read_rows(tmp_path / "parity.json")
