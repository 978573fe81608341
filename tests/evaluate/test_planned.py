"""Suite and files become a plan; what cannot be asked is told before anything is asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from standin_models import rows, suite

from modiste.errors import InvalidInput
from modiste.evaluate.planned import planned
from modiste.evaluate.run import Plan


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """`f`, the dataset of five rows, and `s`, examples: two of its rows and three others."""
    told = [row.value for row in rows(8)]
    for name, part in (("f", told[:5]), ("s", told[3:])):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in part))
    return {name: tmp_path / name for name in ("f", "s")}


def plan(files: dict[str, Path], **changes: Any) -> Plan:
    return planned(suite(**changes), "base", files, {"f": "rows.jsonl", "s": "shots.jsonl"})


def with_shots(n: int) -> dict[str, Any]:
    return {"models": {"base": {"model": "tiny", "shots": {"file_id": "s", "n": n}}}}


def test_a_plan_has_all_that_is_asked(files: dict[str, Path]) -> None:
    made = plan(files, attempts=3)
    assert [item.key for item in made.items] == [f"r{n}" for n in range(5)]
    assert (made.n_samples, made.asking.model) == (15, "tiny")
    assert [scorer.name for scorer in made.scorers] == ["exact"]


def test_a_template_that_the_rows_cannot_fill_is_told_before_anything_is_asked(
    files: dict[str, Path],
) -> None:
    with pytest.raises(InvalidInput, match=r"models\.base: prompt is '\{\{city\}\}'.*country"):
        plan(files, prompt="{{city}}")


def test_an_item_is_never_an_example_for_itself(files: dict[str, Path]) -> None:
    said = [turn.content for turn in plan(files, **with_shots(3)).asking.shots]
    assert sorted(said) == ["C5", "C6", "C7", *(f"Capital of c{n}?" for n in (5, 6, 7))]
    with pytest.raises(InvalidInput, match="3 rows that are not asked themselves"):
        plan(files, **with_shots(4))


def test_examples_need_no_ids_clusters_or_slices_and_are_never_cut(files: dict[str, Path]) -> None:
    shots = [{"country": f"x{n}", "capital": "X"} for n in range(2)]
    files["s"].write_text("".join(json.dumps(shot) + "\n" for shot in shots))
    data = {
        "file_id": "f", "id": "{{id}}", "reference": "{{capital}}", "cluster": "{{id}}",
        "slices": {"first": "{{id[0]}}"}, "limit": 1,
    }  # fmt: skip
    assert len(plan(files, dataset=data, **with_shots(2)).asking.shots) == 4


def test_a_path_is_refused_where_files_are_known_by_their_ids(files: dict[str, Path]) -> None:
    with pytest.raises(InvalidInput, match="by their ids"):
        plan(files, dataset="/etc/passwd")


def test_bad_rows_of_examples_are_told_with_their_file(files: dict[str, Path]) -> None:
    files["s"].write_text('{"country": "a"}\n')
    with pytest.raises(InvalidInput) as refused:
        plan(files, **with_shots(1))
    assert [(p.file, p.line) for p in refused.value.problems] == [("shots.jsonl", 1)]
