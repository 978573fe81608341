"""What docs/data.md shows is run, in the order shown."""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path

import pytest
import yaml

from modiste.__main__ import main
from modiste.prepare.curate.coverage import Policy

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
THINGS = ["kettle", "lamp", "bicycle", "tent", "radio", "chair", "ladder", "piano", "clock", "oven"]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def chat(at: int, question: str) -> dict[str, object]:
    thing, other = THINGS[at % 10], THINGS[at * 7 // 10 % 10]
    answer = f"Order {at}: a {thing} goes with a {other}, shelf {at * 37 % 101}."
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": messages, "user": f"u{at}"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a reader would stand."""
    rows = [
        chat(at, f"Where is {THINGS[at % 10]} {at} of customer {at * 13}?") for at in range(200)
    ]
    evals = [chat(at, f"What does a {THINGS[at % 10]} cost in town {at}?") for at in range(5)]
    lines = [f"How heavy is number {at}?,It weighs {at} kg." for at in range(60)]
    for name, each in (("raw.jsonl", rows), ("evals.jsonl", evals)):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in each))
    (tmp_path / "shared.csv").write_text("\n".join(["question,answer", *lines]))
    for name in list(os.environ):
        if name.startswith("MODISTE_") and name != "MODISTE_DATA":
            monkeypatch.delenv(name)
    monkeypatch.setenv("MODISTE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def commands() -> list[str]:
    return [line for block in blocks("sh") for line in block.splitlines()]


def test_the_commands_run_in_the_order_shown(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    _, pipeline = blocks("yaml")
    (folder / "pipeline.yaml").write_text(pipeline)
    for command in commands():
        code = main(shlex.split(command)[1:])
        out, err = capfd.readouterr()
        assert code == 0, f"{command}\n{out}\n{err}"
    for name in ("train.jsonl", "rows.jsonl.gz", "reports/1-merge.json", "dataset.json"):
        assert (folder / "dataset" / name).exists()


def test_the_policy_shown_is_one() -> None:
    policy, _ = blocks("yaml")
    assert len(Policy.model_validate(yaml.safe_load(policy)).categories) == 2
