"""The commands of docs/data-check.md run as they stand, where a reader would type them."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from modiste.__main__ import main

PAGE = (Path(__file__).parents[2] / "docs" / "data-check.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def rows(name: str, numbers: range) -> None:
        told = [
            {
                "messages": [
                    {"role": "user", "content": f"Who won the race of {n}, and by how much?"},
                    {"role": "assistant", "content": f"Team {n % 7} won it, by {n * 13} seconds."},
                ]
            }
            for n in numbers
        ]
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in told))

    rows("train.jsonl", range(1900, 2000))
    rows("valid.jsonl", range(2000, 2004))
    (tmp_path / "7B.yaml").write_text(
        "data: {instruct_data: 'train.jsonl:5.', eval_instruct_data: valid.jsonl}\n"
        "model_id_or_path: open-mistral-7b\nseq_len: 32768\nbatch_size: 1\nmax_steps: 300\n"
    )
    monkeypatch.setenv("MODISTE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MODISTE_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_page_shows_commands() -> None:
    assert len(COMMANDS) >= 6


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_page_runs(folder: Path, command: str) -> None:
    program, *arguments = shlex.split(command)

    assert program == "modiste"
    assert main(arguments) == 0
    if "--html" in arguments:
        assert (folder / "report.html").is_file()
