"""`modiste eval compare A B --judge FILE`: what a judge prefers, beside the figures."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "evaluate"))
from kept_runs import folder
from scripted_runs import run, shares


@pytest.fixture
def runs(tmp_path: Path):
    """b says more than a, to the same forty questions."""
    return [
        folder(tmp_path / name, run(name, {"exact": shares(40, 20)}, text=text))
        for name, text in (("a", "short"), ("b", "a longer answer"))
    ]


@pytest.fixture
def judge(tmp_path: Path):
    path = tmp_path / "judge.yaml"
    path.write_text("kind: pairwise\nmodel: double\npack: legal_quality\n")
    return path


def test_a_judges_preference_stands_beside_the_figures(modiste, judging, runs, judge):
    judging(lambda first, second: (int("longer" in first), int("longer" in second)))
    told = modiste("eval", "compare", *runs, "--judge", judge)
    assert told.code == 0, told.err
    said = " ".join(told.out.split())
    assert "won / tied / lost by B 40 / 0 / 0" in said
    assert "position consistency 1.000" in said
    assert "exact.mean" in told.out


def test_json_has_it_all(modiste, judging, runs, judge):
    judging(lambda first, second: (3, 0))
    found = modiste("eval", "compare", *runs, "--judge", judge, "--json").json["judged"]
    assert (found["wins_a"], found["wins_b"], found["ties"]) == (0, 0, 40)
    assert found["signs"]["consistency"]["value"] == 0.0
    assert found["signs"]["first_slot"]["value"] == 1.0


def test_a_judge_of_the_candidates_family_is_told(modiste, judging, runs, tmp_path):
    judging(lambda first, second: (1, 1))
    path = tmp_path / "kin.yaml"
    path.write_text("kind: pairwise\nmodel: b-large\npack: legal_quality\n")
    told = modiste("eval", "compare", *runs, "--judge", path)
    assert "ft:b is of the judge's own family" in told.err


def test_rows_that_lack_what_the_judge_names_are_told_before_anything_is_asked(
    modiste, runs, judge
):
    judge.write_text(judge.read_text() + "request: '{{instruction}}'\n")
    told = modiste("eval", "compare", *runs, "--judge", judge)
    assert told.code == 2
    assert "instruction" in told.err


def test_a_panels_judges_stand_beside_each_other(modiste, judging, runs, tmp_path):
    judging(lambda first, second: (int("longer" in first), int("longer" in second)))
    path = tmp_path / "panel.yaml"
    path.write_text(
        "kind: panel\nshared: {kind: pairwise, pack: legal_quality}\njudges: [ada, bob-large]\n"
    )
    told = modiste("eval", "compare", *runs, "--judge", path)
    assert told.code == 0, told.err
    said = " ".join(told.out.split())
    assert "judges unanimous 1.000" in said
    assert "ada 40 / 0 / 0" in said
    assert "bob-large 40 / 0 / 0" in said
    assert "the judges are of 2 families" in told.err
    assert "ft:b is of" not in told.err
