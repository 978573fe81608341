from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modiste.errors import InvalidInput
from modiste.prepare.curate.coverage import Coverage, Policy, read_policy
from modiste.prepare.curate.stage import Corpus

Rows = Callable[..., Corpus]
Chat = Callable[..., dict[str, Any]]


def _report(policy: Policy, rows: Corpus) -> dict[str, Any]:
    coverage = Coverage(policy)
    for record in rows:
        coverage.add(record)
    return coverage.to_json()


def test_every_cell_is_counted_and_short_ones_are_named(corpus: Rows, chat: Chat) -> None:
    policy = Policy.model_validate({"categories": ["S1", "S2"], "target": 3})
    rows = [chat(f"a{n}", policy="S1", kind="violating") for n in range(3)]
    rows += [chat("b", policy="S1", kind="near-miss"), chat("c"), chat("d", policy="S9")]
    report = _report(policy, corpus(rows))
    cells = {(c["category"], c["kind"]): (c["rows"], c["gap"]) for c in report["cells"]}
    assert cells["S1", "violating"] == (3, 0)
    assert cells["S1", "near-miss"] == (1, 2)
    assert cells["S2", "edge"] == (0, 3)
    assert len(report["gaps"]) == 5
    assert report["gaps"][0]["gap"] == 3
    assert report["unknown_categories"] == {"S9": 1}
    assert report["rows_without_category"] == 1
    assert report["warnings"] == [
        "S1: 3 violating rows and 1 near-misses with a helpful answer; at least one for each keeps "
        "a model from refusing too much"
    ]


def test_terms_tell_the_category_where_no_field_does(corpus: Rows, chat: Chat) -> None:
    policy = Policy.model_validate({"categories": [{"code": "S2", "terms": ["phishing", "scam"]}]})
    rows = [chat("Is this  PHISHING?"), chat("a scampi dish"), chat("scam", policy="S2")]
    report = _report(policy, corpus(rows))
    assert report["told_by_terms"] == 1
    assert report["rows_without_category"] == 1
    assert report["without_kind"] == {"S2": 2}


def test_tasks_make_the_table_wider(corpus: Rows, chat: Chat) -> None:
    policy = Policy.model_validate(
        {
            "categories": ["S1"],
            "tasks": ["chat", "summary"],
            "kinds": ["violating"],
            "fields": {"category": "meta.codes", "task": "meta.task", "kind": "meta.kind"},
        }
    )
    row = chat("a", meta={"codes": ["S1"], "task": "summary", "kind": "violating"})
    report = _report(policy, corpus([row]))
    assert [(c["task"], c["rows"]) for c in report["cells"]] == [("chat", 0), ("summary", 1)]


def test_what_is_wrong_in_a_policy_is_told_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("category: [S1]\ntarget: 0\n")
    with pytest.raises(InvalidInput) as caught:
        read_policy(path)
    assert "category: unknown; did you mean categories?" in caught.value.message
    assert "target: Input should be greater than or equal to 1, got 0" in caught.value.message
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_policy(tmp_path / "none.yaml")
