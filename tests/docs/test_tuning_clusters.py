"""What docs/tuning-clusters.md names exists: settings, flags, values, fields."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from modiste.cli import tune, up
from modiste.settings import Executor, Settings, Sharding
from modiste.tune.spec import TuneSpec

PAGE = (Path(__file__).parents[2] / "docs" / "tuning-clusters.md").read_text(encoding="utf-8")
COMMANDS = [
    line.split("#")[0]
    for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
]


def options(app: typer.Typer) -> set[str]:
    command = typer.main.get_command(app)
    return {name for parameter in command.params for name in parameter.opts}


@pytest.mark.parametrize("command", [c for c in COMMANDS if "modiste " in c and "pip" not in c])
def test_the_flags_of_every_command_exist(command: str) -> None:
    words = shlex.split(command)
    app = {"up": up.app, "tune": tune.app}[words[words.index("modiste") + 1]]
    assert {word for word in words if word.startswith("--")} <= options(app)


def test_every_setting_of_the_page_exists() -> None:
    named = {name.lower() for name in re.findall(r"MODISTE_([A-Z_]+)", PAGE)}
    assert len(named) >= 6
    assert named <= set(Settings.model_fields)


def test_the_page_tells_every_executor_and_every_way_to_spread_a_base() -> None:
    for value in (*Executor, *Sharding):
        assert f"`{value}`" in PAGE


def test_every_field_of_a_spec_on_the_page_exists() -> None:
    for name in ("batch_size", "checkpoint_steps", "method"):
        assert name in PAGE
        assert name in TuneSpec.model_fields
