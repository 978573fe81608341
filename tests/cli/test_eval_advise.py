"""`modiste eval advise`: one table and one sentence on whether a system prompt is enough."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from doubles import Server

from modiste.cli import eval_advise

SUITE = """\
name: support
dataset: rows.jsonl
prompt: "{{q}}"
scorers: [exact]
models:
  base: {model: modiste-tiny}
  prompted: {model: modiste-tiny-with-prompt, system: Be brief.}
"""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    (tmp_path / "suite.yaml").write_text(SUITE)
    (tmp_path / "rows.jsonl").write_text('{"q": "a"}\n')
    right = {"modiste-tiny": 40, "modiste-tiny-with-prompt": 120, "ft:1": 350}
    found = Server(lambda _, model: right[model], kinds={"ft:1": "fine-tuned"})
    found.jobs["job-1"] = {
        "events": [{"data": {"status": "RUNNING"}, "created_at": 1000}],
        "created_at": 900,
        "modified_at": 4600,
    }
    monkeypatch.setattr(eval_advise, "connect", found.connected)
    monkeypatch.chdir(tmp_path)
    return found


def test_the_tuned_model_is_recommended_and_priced(
    modiste: Any, server: Server, tmp_path: Path
) -> None:
    told = modiste(
        "eval", "advise", "suite.yaml", "--model", "tuned=ft:1", "--hour-price", "3.6",
        "--html", "page.html", "--json",
    )  # fmt: skip
    assert told.code == 0, told.err
    assert told.json["recommended"] == "tuned"
    assert [way["way"] for way in told.json["ways"]] == ["base", "system prompt", "tuned model"]
    assert told.json["ways"][2]["cost_micro"] == pytest.approx(1000 * 300 / 400)
    assert "tuned model: tuned" in (tmp_path / "page.html").read_text()


def test_people_read_a_table_and_the_sentence(modiste: Any, server: Server) -> None:
    told = modiste("eval", "advise", "suite.yaml")
    assert "system prompt ←" in told.out
    assert "not known" in told.out
    assert "is better than every way that takes less effort" in told.out


def test_a_run_that_failed_advises_nothing(modiste: Any, server: Server) -> None:
    server.gone = True
    told = modiste("eval", "advise", "suite.yaml")
    assert told.code == 2
    assert "base, prompted did not come to an end" in told.err
