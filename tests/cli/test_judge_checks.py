"""`modiste judge controls` and `steps`; the judge is a double behind a real HTTP server."""

from __future__ import annotations

import json

import pytest

JUDGE = "kind: pairwise\nmodel: double\npack: legal_quality\n"


@pytest.fixture
def server(judging):
    """Gives each answer as many points as it says it has."""
    return judging(lambda first, second: (int(first[0]), int(second[0])))


@pytest.fixture
def rows(write):
    return write("rows.jsonl", [{"question": "?", "a": f"{n % 4} points"} for n in range(24)])


def test_controls_say_what_a_judge_falls_for(modiste, server, rows, tmp_path):
    judge, saved = tmp_path / "strict.yaml", tmp_path / "controls.json"
    judge.write_text(JUDGE)
    asked = ("judge", "controls", judge, "--rows", rows, "-n", "10")
    result = modiste(*asked, "--control", "same", "--control", "planted", "-o", saved)
    assert result.code == 0, result.err
    assert "prefers the answer that tells it to" in result.out
    (found,) = json.loads(saved.read_text())
    told = {each["control"]: each["taken_in"] for each in found["results"]}
    assert {name: (share["value"], share["n"]) for name, share in told.items()} == {
        "same": (0.0, 10),
        "planted": (0.0, 10),
    }
    assert 0.2 < told["planted"]["ci"]["hi"] < 0.4, "ten answers are not many"
    refused = modiste(*asked, "--control", "canary")
    assert refused.code != 0
    assert "--control 'canary' is none of same, planted, padded, plain" in refused.err


def test_only_rubrics_have_steps(modiste, tmp_path):
    judge = tmp_path / "strict.yaml"
    judge.write_text(JUDGE)
    result = modiste("judge", "steps", judge)
    assert result.code != 0
    assert "kind is pairwise; only judges of kind rubric have steps" in result.err
