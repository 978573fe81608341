"""What docs/batch.md shows is run: the commands in the order shown, the code by a stock client."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from modiste.__main__ import main
from modiste.actions.batch_lines import ENDPOINTS, MAX_REQUESTS
from modiste.settings import Settings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "batch.md").read_text(encoding="utf-8")
CLIENT = ROOT / ".clients" / "openai-3.52.0" / "bin" / "python"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def folder(served: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a reader would stand: with the lines of the page, and one that is refused."""
    for name in list(os.environ):
        if name.startswith("MODISTE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MODISTE_URL", served[0])
    monkeypatch.setenv("MODISTE_API_KEY", served[1])
    monkeypatch.setenv("MODISTE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    [lines] = blocks("json")
    refused = {"custom_id": "q-3", "body": {"messages": [], "max_tokens": 8}}
    (tmp_path / "requests.jsonl").write_text(lines + json.dumps(refused) + "\n")
    return tmp_path


def test_the_commands_run_in_the_order_shown(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    [shown] = blocks("sh")
    batch_id, said = "", ""
    for command in shown.splitlines():
        words = [word.replace("BATCH_ID", batch_id) for word in shlex.split(command)]
        assert words[0] == "modiste"
        assert main(words[1:]) == 0, capfd.readouterr().err
        told = capfd.readouterr().out
        said += told
        batch_id = batch_id or told.strip()
    results = [json.loads(line) for line in (folder / "results.jsonl").open()]
    assert [line["custom_id"] for line in results] == ["q-1", "q-2"]
    assert '"custom_id":"q-3"' in said


def test_the_client_code_prints_the_names_in_order(folder: Path) -> None:
    if not CLIENT.exists():
        if os.environ.get("REQUIRE_STOCK_CLIENTS"):
            pytest.fail("no stock client environment; run `make clients`")
        pytest.skip("the stock client is not installed; `make clients` installs it")
    [code] = blocks("python")
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(CLIENT), "-c", code], env=kept, capture_output=True, text=True, timeout=200
    )
    assert done.stdout.split() == ["q-0", "q-1", "q-2"], done.stderr


def test_the_numbers_and_names_of_the_page_are_those_of_the_code() -> None:
    assert f"at most {MAX_REQUESTS:,} requests" in PAGE
    assert f"`MODISTE_BATCH_CONCURRENCY` ({Settings().batch_concurrency})" in PAGE
    [line] = [each for each in PAGE.splitlines() if each.startswith("- Endpoints:")]
    assert re.findall(r"`(/v1/[^`]+)`", line) == list(ENDPOINTS)
