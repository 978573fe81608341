"""`modiste eval import`: what was written for OpenAI's hosted evals goes on as a suite."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from modiste.evaluate.suite import Suite
from modiste.prepare.checked import checked

EVAL = {
    "object": "eval",
    "id": "eval_1",
    "name": "Ticket labels!",
    "data_source_config": {
        "type": "custom",
        "schema": {"properties": {"item": {"properties": {"ticket": {}, "label": {}}}}},
        "item_schema": {"type": "object", "properties": {"ticket": {}, "label": {}}},
    },
    "testing_criteria": [
        {
            "type": "string_check",
            "name": "Label matches",
            "input": "{{sample.output_text}}",
            "reference": "{{item.label}}",
            "operation": "ilike",
        }
    ],
}
RUN = {
    "data_source": {
        "type": "completions",
        "model": "gpt-4.1",
        "input_messages": {
            "type": "template",
            "template": [
                {"role": "developer", "content": "Label the ticket."},
                {"role": "user", "content": "{{item.ticket}}"},
            ],
        },
        "source": {"type": "file_id", "id": "file-abc"},
    }
}


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    paths = tmp_path / "eval.json", tmp_path / "run.json"
    for path, content in zip(paths, (EVAL, RUN), strict=True):
        path.write_text(json.dumps(content))
    return paths


def test_an_eval_with_a_run_becomes_a_suite_that_is_one(
    modiste: Any, files: tuple[Path, Path]
) -> None:
    told = modiste("eval", "import", files[0], "--run", files[1])
    assert told.code == 0, told.err
    suite = checked(Suite, yaml.safe_load(told.out), file="out")
    assert suite.name == "Ticket-labels"
    assert [turn.role for turn in suite.messages] == ["system", "user"]
    assert suite.models["base"].model == "gpt-4.1"
    assert [spec.name for spec in suite.scorers] == ["Label_matches"]
    for words in ("file-abc", "modiste models add gpt-4.1", "Rows hold ticket, label"):
        assert words in told.err


def test_without_a_run_the_prompt_is_said_to_be_a_guess(
    modiste: Any, files: tuple[Path, Path]
) -> None:
    told = modiste("eval", "import", files[0])
    assert "`prompt` is a guess" in told.err
    assert checked(Suite, yaml.safe_load(told.out), file="out").prompt


def test_a_program_reads_suite_and_remarks_as_json(modiste: Any, files: tuple[Path, Path]) -> None:
    told = modiste("eval", "import", files[0], "--json").json
    assert checked(Suite, told["suite"], file="out").name == "Ticket-labels"
    assert told["remarks"]


def test_a_file_is_written_once_and_what_cannot_be_read_is_refused(
    modiste: Any, files: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "suite.yaml"
    assert modiste("eval", "import", files[0], "-o", out).code == 0
    assert modiste("eval", "import", files[0], "-o", out).code != 0
    assert "is no JSON" in modiste("eval", "import", out).err
    assert modiste("eval", "import", tmp_path / "none.json").code != 0
