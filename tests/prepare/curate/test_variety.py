from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modiste.errors import InvalidInput
from modiste.prepare.curate.stage import Corpus
from modiste.prepare.curate.variety import STAGE, Variety, variety

Rows = Callable[..., Corpus]
Chat = Callable[..., dict[str, Any]]
NOUNS = ["cat", "dog", "horse", "cow", "bank", "loan", "storm", "rain", "poem", "novel", "wheel"]


def _mixed(chat: Chat, n: int) -> list[dict[str, Any]]:
    draw = random.Random(1)
    return [
        chat(
            f"Write about the {draw.choice(NOUNS)} and the {draw.choice(NOUNS)} of town {at}",
            f"The {draw.choice(NOUNS)} stood near the {draw.choice(NOUNS)} for a while.",
        )
        for at in range(n)
    ]


def test_a_report_tells_tables_topics_and_scores(corpus: Rows, chat: Chat) -> None:
    report = variety([corpus(_mixed(chat, 300))], Variety())
    assert report["rows"] == report["looked_at"] == 300
    assert report["tables"]["prompt structure"]["command"] == 300
    assert report["tables"]["prompt words"] == {"8-15": 300}
    assert sum(topic["rows"] for topic in report["topics"]["clusters"]) == 300
    assert 0 < report["likeness"]["vendi_share"] < 1
    assert 0 < report["distinct"]["prompts"]["1"] < report["distinct"]["prompts"]["3"] < 1
    assert report["openings"][0] == {"words": "write about the", "rows": 300, "share": 1.0}
    assert "100% of the prompts begin with “write about the”" in report["warnings"]


def test_what_is_missing_is_named(corpus: Rows, chat: Chat) -> None:
    rows = [*_mixed(chat, 400), chat("¿Qué es esto y por qué no funciona en mi casa?", "Es así.")]
    thin = variety([corpus(rows)], Variety())["thin"]
    named = {(spot["dimension"], spot["value"]): spot["rows"] for spot in thin}
    assert named["prompt structure", "question"] == 1
    assert named["chat structure", "dialogue"] == 0
    assert named["prompt language", "es"] == 1
    assert [spot["rows"] for spot in thin] == sorted(spot["rows"] for spot in thin)


def test_copies_are_less_various_than_different_rows(corpus: Rows, chat: Chat) -> None:
    copies = [chat("tell me about the cat") for _ in range(250)]
    alike = variety([corpus(copies, "copies.jsonl")], Variety())
    mixed = variety([corpus(_mixed(chat, 250))], Variety())
    assert alike["likeness"]["vendi"] == pytest.approx(1, abs=0.01)
    assert mixed["likeness"]["vendi"] > 5
    assert any("nearly the same" in warning for warning in alike["warnings"])
    assert alike["likeness"]["nearest"][0]["cosine"] == 1.0


def test_a_sample_stands_for_the_rows_and_says_so(corpus: Rows, chat: Chat) -> None:
    source = corpus(_mixed(chat, 500))
    report = variety([source], Variety(sample=100))
    assert (report["rows"], report["looked_at"]) == (500, 100)
    assert report == variety([source], Variety(sample=100))


def test_a_policy_and_its_gaps_are_part_of_the_report(
    tmp_path: Path, corpus: Rows, chat: Chat
) -> None:
    (tmp_path / "policy.yaml").write_text("categories: [S1]\nkinds: [violating]\ntarget: 5\n")
    settings = Variety(policy=str(tmp_path / "policy.yaml"))
    report = variety([corpus([*_mixed(chat, 50), chat("x", policy="S1")])], settings)
    assert report["policy"]["rows_without_category"] == 50
    assert report["thin"][-1] == {
        "dimension": "policy",
        "value": "S1 · violating",
        "rows": 0,
        "wanted": 5,
    }


def test_production_shows_what_rows_leave_out(corpus: Rows, chat: Chat) -> None:
    ours = corpus(_mixed(chat, 100))
    theirs = corpus(
        [chat(f"hey, why is my order {n} late again?? i hate waiting") for n in range(100)],
        "production.jsonl",
    )
    against = variety([ours], Variety(reference=str(theirs.path)))["reference"]
    assert against["covered"] < 0.2
    assert against["divergence"]["tone"] > 0.5
    missing = {(each["dimension"], each["value"]) for each in against["missing"]}
    assert {("prompt structure", "question"), ("tone", "upset")} <= missing
    same = variety([ours], Variety(reference=str(ours.path)))["reference"]
    assert same["covered"] > 0.9
    assert set(same["divergence"].values()) == {0.0}
    assert same["missing"] == []


def test_vectors_of_a_model_take_the_place_of_words(corpus: Rows, chat: Chat) -> None:
    def embed(texts: Any) -> Any:
        return np.asarray([[1.0, 0.0] if "cat" in text else [0.0, 1.0] for text in texts])

    report = variety([corpus(_mixed(chat, 60))], Variety(clusters=2), embed=embed)
    assert report["vectors"] == "embeddings"
    assert len(report["topics"]["clusters"]) == 2
    assert report["likeness"]["vendi"] <= 2


def test_the_stage_changes_no_row(corpus: Rows, chat: Chat) -> None:
    outcome = STAGE.run([corpus(_mixed(chat, 20))], Variety())
    assert outcome.kept == {}


def test_no_rows_are_an_error(corpus: Rows) -> None:
    with pytest.raises(InvalidInput, match="no row"):
        variety([corpus([])], Variety())
