"""Judges from YAML files."""

from __future__ import annotations

import pytest

from modiste.errors import InvalidInput
from modiste.evaluate.judges.specs import parse_judge, read_judge
from modiste.evaluate.scorers.registry import parse


@pytest.mark.parametrize(
    "config",
    [
        {"kind": "pairwise", "model": "j", "criteria": ["right"]},
        {"kind": "pairwise", "model": "j", "pack": "legal_quality"},
        {"kind": "mt_bench_pair", "model": "j"},
        {"kind": "arena_hard", "model": "j"},
        {"kind": "rubric", "model": "j"},
        {"kind": "mt_bench_single", "model": "j"},
    ],
    ids=lambda config: config["kind"],
)
def test_every_kind_judges_pairs(config):
    assert len(parse_judge(config).judge().identity) == 16


def test_all_that_is_wrong_is_said_at_once():
    with pytest.raises(InvalidInput) as caught:
        parse_judge({"kind": "arena_hard", "order": "bth", "temperatur": 1}, where="j.yaml")
    for part in ("j.yaml", "model", "order", "temperatur"):
        assert part in caught.value.message


def test_a_template_that_is_none_is_refused():
    with pytest.raises(InvalidInput, match="request"):
        parse_judge({"kind": "arena_hard", "model": "j", "request": "{{question"})


def test_a_kind_nobody_knows_is_refused_with_those_that_are():
    with pytest.raises(InvalidInput, match="mt_bench_pair"):
        parse_judge({"kind": "oracle", "model": "j"})


def test_a_file_names_its_judge(tmp_path):
    path = tmp_path / "strict.yaml"
    path.write_text("kind: pairwise\nmodel: j\ncriteria: [right]\n")
    assert read_judge(path).name == "strict"


def test_paths_in_a_file_are_relative_to_it(tmp_path):
    path = tmp_path / "mt.yaml"
    path.write_text("kind: mt_bench_pair\nmodel: j\nprompts: judge_prompts.jsonl\n")
    assert read_judge(path).prompts == str(tmp_path / "judge_prompts.jsonl")


@pytest.mark.parametrize(
    "kind",
    [
        "rubric",
        "mt_bench_single",
        "faithfulness",
        "answer_relevancy",
        "context_precision",
        "context_recall",
    ],
)
def test_a_suite_knows_the_kinds_that_ask_a_judge(kind):
    more = {"embedding_model": "e"} if kind == "answer_relevancy" else {}
    (scorer,) = parse([{"kind": kind, "model": "j", **more}])
    assert scorer.name == kind
    assert scorer.config["model"] == "j"
    assert scorer.config["prompts"]
