"""The page of scorers names every kind and every option, and its suite is one."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from modiste.evaluate.scorers.registry import _Entries

PAGE = (Path(__file__).parents[2] / "docs" / "scorers.md").read_text()
ELSEWHERE = re.compile(r"^(rubric|mt_bench|faithfulness|answer_|context_|panel)")


def kinds() -> dict[str, dict[str, Any]]:
    parts = _Entries.model_json_schema()["$defs"]
    kept = [part["properties"] for part in parts.values() if "kind" in part.get("properties", {})]
    return {p["kind"]["const"]: p for p in kept if not ELSEWHERE.match(p["kind"]["const"])}


@pytest.mark.parametrize("kind", kinds())
def test_every_kind_stands_in_the_table_with_its_options(kind: str) -> None:
    (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{kind}` |")]
    options = set(kinds()[kind]) - {"kind", "name"}
    missing = [option for option in options if not re.search(rf"`{option}\b", row)]
    assert missing == []


def test_the_entries_shown_are_entries() -> None:
    block = re.search(r"```yaml\n(scorers:.*?)```", PAGE, re.DOTALL)
    assert block is not None
    entries = yaml.safe_load(block[1])["scorers"]
    for entry in entries:
        if isinstance(entry, dict) and "path" in entry:
            entry["source"] = f"# {entry.pop('path')}"
    assert len(_Entries.model_validate(entries).root) == 6
