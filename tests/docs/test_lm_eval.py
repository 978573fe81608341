"""docs/lm-eval.md: every flag it names exists, every version is the one that is installed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from modiste.cli.eval import app
from modiste.cli.lm_eval_tool import OLDEST, WANTED

PAGE = (Path(__file__).parents[2] / "docs" / "lm-eval.md").read_text(encoding="utf-8")
HARNESS_FLAGS = {"--log_samples", "--model_args", "--apply_chat_template"}
"""Those of the harness's own command line."""


@pytest.fixture
def options() -> set[str]:
    """Of every command below `modiste eval`."""
    commands = typer.main.get_command(app).commands.values()  # type: ignore[attr-defined]
    return {option for each in commands for parameter in each.params for option in parameter.opts}


def test_every_flag_of_the_page_exists(options: set[str]) -> None:
    named = set(re.findall(r"--[a-z][a-z_-]+", PAGE)) - HARNESS_FLAGS
    assert {"--tasks", "--venv", "--results"} <= named
    assert named <= options


def test_every_flag_of_the_command_is_on_the_page() -> None:
    command = typer.main.get_command(app).commands["lm-eval"]  # type: ignore[attr-defined]
    flags = {option for parameter in command.params for option in parameter.opts}
    assert not {flag for flag in flags - {"--help", "--json"} if flag not in PAGE}


def test_the_versions_of_the_page_are_those_that_are_installed() -> None:
    for wanted in WANTED:
        assert f"`{wanted}`" in PAGE
    assert f"({'.'.join(map(str, OLDEST))} or newer)" in PAGE
