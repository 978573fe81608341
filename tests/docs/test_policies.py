"""What docs/policies.md shows is true."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import get_args

import pytest
from typer.main import get_command

from modiste.cli.policies import app
from modiste.moderate.detectors import Detector
from modiste.moderate.policy import Action, read
from modiste.moderate.taxonomy import taxonomies

PAGE = (Path(__file__).parents[2] / "docs" / "policies.md").read_text(encoding="utf-8")


def fences(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.S)


def test_the_policies_of_the_page_are_some_and_its_python_redacts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text, of_classifier = fences("yaml")
    assert read(of_classifier, file="harm.yaml").name == "harm"
    assert read(text, file="policy.yaml").name == "support"
    (tmp_path / "policy.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    exec(fences("python")[0], {})
    assert capsys.readouterr().out == "Mail me at [Personal data]\n"


def test_every_kind_action_and_taxonomy_stands_on_the_page() -> None:
    for kind in get_args(Detector):
        (word,) = get_args(kind.model_fields["kind"].annotation)
        assert f"| `{word}` |" in PAGE
    for action in Action:
        assert f"| `{action}` |" in PAGE
    for name in taxonomies():
        family, _, version = name.partition("/")
        assert f"`{name}`" in PAGE or (f"`{family}/" in PAGE and f"`/{version}`" in PAGE), name


@pytest.mark.parametrize("line", [line for line in fences("sh")[0].splitlines() if line.strip()])
def test_the_commands_of_the_page_take_these_arguments(line: str) -> None:
    _, _, command, *arguments = shlex.split(line)
    get_command(app).commands[command].make_context(command, list(arguments))  # type: ignore[attr-defined]


def test_the_routes_of_the_page_exist() -> None:
    from modiste.api.policies import router

    there = {
        (method, f"/v1{route.path}")
        for route in router.routes
        for method in route.methods  # type: ignore[attr-defined]
    }
    told = {
        (method, path.replace("NAME", "{name}"))
        for method, path in re.findall(r"`(GET|POST|DELETE) (/v1/policies[^`]*)`", PAGE)
    }
    assert told == there
