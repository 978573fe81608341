"""What README shows is run: the client code by a stock client, the commands on a real server."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from modiste.cli.app import COMMANDS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CLIENT = ROOT / ".clients" / "mistralai-2.5.1" / "bin" / "python"
ROWS = [
    {
        "messages": [
            {"role": "user", "content": f"What colour is number {n}?"},
            {"role": "assistant", "content": ("red", "green", "blue")[n % 3]},
        ]
    }
    for n in range(60)
]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a reader would stand: with a training file and the YAML that README shows."""
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    [tune] = blocks("yaml")
    (tmp_path / "tune.yaml").write_text(tune)
    return tmp_path


@pytest.fixture
def environment(served: tuple[str, str], folder: Path) -> dict[str, str]:
    url, key = served.url, served.key
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MODISTE_")}
    return kept | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "MODISTE_HOME": str(folder / "home"),
        "MODISTE_URL": url,
        "MODISTE_API_KEY": key,
    }


def run(command: list[str], *, folder: Path, environment: dict[str, str]) -> str:
    result = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240
    )
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"
    return result.stdout


def test_the_client_code_makes_a_model_that_answers(
    folder: Path, environment: dict[str, str]
) -> None:
    if not CLIENT.exists():
        if os.environ.get("REQUIRE_STOCK_CLIENTS"):
            pytest.fail("no stock client environment; run `make clients`")
        pytest.skip("the stock client is not installed; `make clients` installs it")
    [code] = blocks("python")
    said = run([str(CLIENT), "-c", code], folder=folder, environment=environment)
    assert said.startswith("SUCCESS ")


def test_the_commands_run_in_the_order_shown(folder: Path, environment: dict[str, str]) -> None:
    shell = "set -eu\n" + "\n".join(blocks("sh"))
    said = run(["bash", "-c", shell], folder=folder, environment=environment)
    assert "modiste-tiny" in said
    assert '"chat.completion"' in said


def test_every_command_and_target_that_is_named_exists() -> None:
    shown = "\n".join(blocks("console") + blocks("sh"))
    targets = set(re.findall(r"\bmake ([a-z-]+)", README))
    makefile = (ROOT / "Makefile").read_text()
    assert {t for t in targets if not re.search(rf"^{t}:", makefile, re.MULTILINE)} == set()
    assert set(re.findall(r"\bmodiste ([a-z]+)", shown)) <= set(COMMANDS)


def test_every_link_leads_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)", README) if "://" not in link]
    assert [link for link in links if not (ROOT / link).exists()] == []
