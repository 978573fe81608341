"""`modiste data` as a whole: its commands are there, and its help costs nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

from modiste.cli.app import run

HEAVY = (
    "torch",
    "transformers",
    "mistral_common",
    "pyarrow",
    "numpy",
    "huggingface_hub",
    "obstore",
)


def test_every_command_stands_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "--help"]) == 0
    out = capsys.readouterr().out
    for command in ("check", "preview", "stats", "convert", "reformat", "split", "sample", "merge"):
        assert f" {command} " in out


def test_the_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from modiste.cli.app import run; run(['data', '--help']); "
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("[]")


def test_an_unknown_command_is_wrong_usage() -> None:
    assert run(["data", "convrt"]) == 2
