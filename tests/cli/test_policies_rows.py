"""`modiste policies test`: figures of a policy on labelled rows, with n and interval."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modiste.evaluate.stats.estimates import wilson

POLICY = """name: shop
categories:
- code: rivals
  definition: Praises another shop
  applies_to: [input]
- {code: pii, definition: Personal data, action: redact}
detectors:
- {name: w, kind: words, category: rivals, words: [Globex]}
- {name: p, kind: personal, category: pii}
"""


def test_a_policy_is_measured_on_rows(modiste, tmp_path: Path) -> None:
    file, rows = tmp_path / "policy.yaml", tmp_path / "rows.jsonl"
    file.write_text(POLICY)
    lines = [
        *({"text": f"Globex {n}", "labels": ["rivals"]} for n in range(3)),
        {"text": "A rival shop", "labels": ["rivals"]},
        {"messages": [{"role": "user", "content": "I was at Globex"}], "labels": []},
        {"text": "anna.kern@gmx.net", "labels": {"pii": True}, "place": "output"},
        {"text": "Fine", "labels": []},
    ]
    rows.write_text("\n".join(map(json.dumps, lines)) + "\n")
    told = modiste("policies", "test", str(file), str(rows), "--json")
    assert told.code == 0, told.err
    found = json.loads(told.out)["categories"]
    assert (found["rivals"]["found"], found["rivals"]["missed"]) == (3, 1)
    assert found["rivals"]["precision"]["value"] == 3 / 4
    interval = wilson(1, 2)
    assert found["rivals"]["over_refusal"] == {
        "value": 0.5, "n": 2, "lo": pytest.approx(interval.lo), "hi": pytest.approx(interval.hi),
        "method": "Wilson",
    }  # fmt: skip
    assert found["pii"]["recall"]["n"] == 1
    shown = modiste("policies", "test", str(file), str(rows)).out
    assert "0.750 [" in shown


def test_everything_wrong_with_rows_is_said(modiste, tmp_path: Path) -> None:
    file, rows = tmp_path / "policy.yaml", tmp_path / "rows.jsonl"
    file.write_text(POLICY)
    rows.write_text('{"text": "x", "labels": ["hate"]}\n{"labels": []}\n{"text": "x"\n')
    told = modiste("policies", "test", str(file), str(rows))
    assert told.code == 2
    for line in ("line 1: labels name 'hate'", "line 2: give text", "line 3"):
        assert line in told.err
