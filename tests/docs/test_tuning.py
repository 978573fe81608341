"""The commands of docs/tuning.md run as they stand, and the page names every field."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from modiste.__main__ import main
from modiste.api.door import checked
from modiste.api.mistral import JobIn
from modiste.tune.effort import EPOCHS, FACTORS, PATIENCE, RANKS
from modiste.tune.spec import CANONICAL

PAGE = (Path(__file__).parents[2] / "docs" / "tuning.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "tune.yaml").write_text(blocks("yaml")[0])
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"Where is lamp {at}?"},
                {"role": "assistant", "content": f"On shelf {at * 37 % 101}."},
            ]
        }
        for at in range(100)
    ]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setenv("MODISTE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MODISTE_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("command", [line for block in blocks("sh") for line in block.splitlines()])
def test_a_command_of_the_page_runs(folder: Path, command: str) -> None:
    program, *arguments = shlex.split(command)
    assert program == "modiste"
    assert main(arguments) == 0


def test_the_page_names_every_field() -> None:
    named = set(re.findall(r"`([a-z_.]+)`", PAGE))
    assert set(CANONICAL) <= named


def test_the_table_of_efforts_is_what_they_do() -> None:
    epochs, ranks, factors, _, patience = (
        [cell.strip() for cell in line.split("|")[2:5]]
        for line in PAGE.partition("| | quick |")[2].splitlines()[2:7]
    )
    assert epochs == [f"{EPOCHS[effort]:g}" for effort in EPOCHS]
    assert ranks == [str(RANKS[effort]) for effort in EPOCHS]
    assert [{"½": 0.5}.get(each) or float(each) for each in factors] == list(FACTORS.values())
    assert patience[2] == str(PATIENCE)


def test_the_body_of_the_page_is_a_job() -> None:
    (body,) = blocks("json")
    asked = checked(JobIn, json.loads(body)).hyperparameters.noun(evaluates=False)
    assert (asked.method, asked.lora_rank, asked.lora_dropout) == ("qlora", 8, 0.05)
