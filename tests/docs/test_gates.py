"""What docs/gates.md shows is a gate, and its commands and routes are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from modiste.evaluate.gate_spec import Gate, read

PAGE = (Path(__file__).parents[2] / "docs" / "gates.md").read_text(encoding="utf-8")


def test_the_gate_of_the_page_is_one_and_says_all_there_is_to_say() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)
    gate = read(text, file="gate.yaml")
    assert gate.model_fields_set == set(Gate.model_fields)


@pytest.mark.parametrize("line", re.findall(r"^modiste .*$", PAGE, flags=re.MULTILINE))
def test_the_commands_of_the_page_take_these_arguments(line: str) -> None:
    from modiste.cli import eval as eval_commands
    from modiste.cli import gate, models

    groups = {"eval": eval_commands.app, "gate": gate.app, "models": models.app}
    _, group, name, *arguments = line.split()
    command = typer.main.get_command(groups[group]).commands[name]  # type: ignore[attr-defined]
    with command.make_context(name, [a.replace("gate.yaml", "/dev/null") for a in arguments]):
        pass


def test_the_routes_of_the_page_exist() -> None:
    from modiste.api.app import build_app
    from modiste.settings import Settings

    routes = build_app(Settings()).openapi()["paths"]
    for method, path in re.findall(r"`(GET|POST) (/v1/\S+?)`", PAGE):
        assert method.lower() in routes[path.replace("NAME", "{name}")]
