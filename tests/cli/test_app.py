"""The root command: quick, helpful, never a traceback."""

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from modiste.cli import app as root

HEAVY = {"torch", "transformers", "fastapi", "sqlalchemy", "httpx", "pydantic", "numpy"}


def test_help_lists_every_command_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; from modiste.__main__ import main; code = main(['--help']); "
        f"print(sorted({HEAVY} & set(sys.modules)), file=sys.stderr); sys.exit(code)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0
    assert result.stderr.strip() == "[]"
    for command in root.COMMANDS:
        assert command in result.stdout


def test_help_costs_little_more_than_the_library_it_is_written_with() -> None:
    """Processor time beside that of importing typer, in turn; the best of five of each, since other
    work on the machine only ever makes one slower."""

    def cpu_s(*arguments: str) -> float:
        before = os.times()
        subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
        after = os.times()
        used = after.children_user - before.children_user
        return used + after.children_system - before.children_system

    pairs = [(cpu_s("-m", "modiste", "--help"), cpu_s("-c", "import typer")) for _ in range(5)]
    ours, theirs = (min(times) for times in zip(*pairs, strict=True))
    # 2.7 where this was written, 0.4 s; torch alone would make it 18.
    assert ours < 4 * theirs


@pytest.mark.parametrize("command", root.COMMANDS)
def test_every_command_explains_itself_and_takes_json(modiste, command: str) -> None:
    module = import_module(f"modiste.cli.{command}")
    verbs = [(c.name or c.callback.__name__).rstrip("_") for c in module.app.registered_commands]
    alone = len(verbs) == 1 and module.app.registered_callback is None
    for words in [[command]] if alone else [[command, verb] for verb in verbs]:
        result = modiste(*words, "--help")
        assert result.code == 0
        assert "--json" in result.out, words


def test_a_mistyped_command_is_wrong_usage_and_names_the_nearest(modiste) -> None:
    result = modiste("fils")
    assert result.code == 2
    assert "'files'" in result.err


def test_an_unknown_option_is_wrong_usage(modiste) -> None:
    assert modiste("files", "list", "--colour").code == 2


def test_the_version_is_said(modiste) -> None:
    assert modiste("--version").out.startswith("modiste ")


def test_a_wrong_setting_is_one_line_and_wrong_usage(modiste, monkeypatch) -> None:
    monkeypatch.setenv("MODISTE_PROT", "1")
    result = modiste("files", "list")
    assert result.code == 2
    assert result.err == "error: unknown setting prot from environment MODISTE_PROT; " + (
        "did you mean port?\n"
    )


def test_a_fault_of_ours_is_one_line_and_its_traceback_a_file(modiste, monkeypatch) -> None:
    from modiste.cli import files

    def broken(*args: object, **options: object) -> None:
        raise ZeroDivisionError("1/0")

    monkeypatch.setattr(files, "connect", broken)
    result = modiste("files", "list", "--json")
    assert result.code == 1
    message = json.loads(result.err)["error"]["message"]
    assert message.startswith("ZeroDivisionError: 1/0. This is a fault of Modiste")
    path = Path(message.rpartition(" ")[2])
    assert "Traceback" in path.read_text()
    path.unlink()


def test_a_reader_that_leaves_early_is_no_fault(home: Path) -> None:
    command = f"{sys.executable} -m modiste --help | head -1"
    result = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert result.stderr == ""
