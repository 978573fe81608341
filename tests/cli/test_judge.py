"""`modiste judge` as its user meets it; the judge is a double behind a real HTTP server."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("MODISTE_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
JUDGE = "kind: pairwise\nmodel: double\npack: legal_quality\n"


@pytest.fixture
def server(judging):
    """Gives each answer as many points as it says it has."""
    return judging(lambda first, second: (int(first[0]), int(second[0])))


@pytest.fixture
def pairs(write):
    rows = []
    for n in range(24):
        a, b = n % 4, (n // 4) % 4
        vote = "tie" if a == b else "a" if a > b else "b"
        rows.append({"id": str(n), "question": "?", "a": f"{a} points", "b": f"{b} points"})
        rows[-1]["votes"] = {"ann": vote, "ben": "tie" if n == 5 else vote}
    return write("pairs.jsonl", rows)


def test_a_judge_is_asked_and_its_card_printed(modiste, server, pairs, tmp_path):
    judge = tmp_path / "strict.yaml"
    judge.write_text(JUDGE)
    saved, cards = tmp_path / "verdicts", tmp_path / "cards.json"

    result = modiste(
        *("judge", "calibrate", judge, "--pairs", pairs, "--retest", "4"),
        *("--save-verdicts", saved, "-o", cards),
    )

    assert result.code == 0, result.err
    assert "human ceiling" in result.out
    assert "take strict: highest τ-b" in result.out
    assert "24 pairs are few" in result.err or "23 pairs are few" in result.err
    (card,) = json.loads(cards.read_text())["cards"]
    assert card["signs"]["consistency"]["value"] == 1.0
    assert card["retest"]["n"] == 4
    assert card["costs"]["tokens"]["value"] == 220
    assert len((saved / "strict.jsonl").read_text().splitlines()) == 24


def test_saved_verdicts_give_the_same_card_without_a_model(modiste, server, pairs, tmp_path):
    judge = tmp_path / "strict.yaml"
    judge.write_text(JUDGE)
    saved = tmp_path / "verdicts"
    asked = modiste(
        *("judge", "calibrate", judge, "--pairs", pairs, "--retest", "0", "--json"),
        *("--save-verdicts", saved),
    ).json["cards"][0]
    server.shutdown()
    stored = modiste(
        "judge", "calibrate", "--pairs", pairs, "--verdicts", saved / "strict.jsonl", "--json"
    ).json["cards"][0]
    for figure in ("accuracy", "tau", "rho", "kappa", "signs", "differences"):
        assert stored[figure] == asked[figure]


def test_a_row_that_lacks_what_the_judge_names_is_told_before_anything_is_asked(
    modiste, pairs, tmp_path
):
    judge = tmp_path / "strict.yaml"
    judge.write_text(JUDGE + "request: '{{instruction}}'\n")
    result = modiste("judge", "calibrate", judge, "--pairs", pairs)
    assert result.code == 2
    assert "instruction" in result.err


def test_nothing_to_calibrate_is_wrong_usage(modiste, pairs):
    result = modiste("judge", "calibrate", "--pairs", pairs)
    assert result.code == 2
    assert "--verdicts" in result.err


def test_a_judges_win_rate_is_set_right_by_a_few_labels(modiste, pairs, write):
    rows = [json.loads(line) for line in pairs.read_text().splitlines()]
    verdicts = write("v.jsonl", [{"id": row["id"], "verdict": row["votes"]["ann"]} for row in rows])
    labels = write("few.jsonl", rows[:10])
    result = modiste("judge", "correct", "--verdicts", verdicts, "--labels", labels)
    assert result.code == 0, result.err
    assert "corrected (PPI++)" in result.out


# The reference's figures: accuracy with unreadable replies as wrong, and as ties; macro averages.
def test_gpt35_on_pandalm_is_as_published(modiste):
    folder = DATA / "i_pandalm"
    if not folder.exists():
        pytest.skip(f"{folder} is not there; set MODISTE_DATA")
    told = modiste(
        *("judge", "calibrate", "--pairs", folder / "testset_v1.jsonl.gz", "--json"),
        *("--verdicts", folder / "gpt35_judgements.jsonl"),
    ).json
    (card,) = told["cards"]
    assert (card["n"], card["n_unscored"]) == (974, 25)
    assert card["accuracy_unscored_wrong"]["value"] == pytest.approx(0.698, abs=5e-4)
    as_ties = card["unscored_as_tie"]
    assert as_ties["accuracy"]["value"] == pytest.approx(0.7107, abs=5e-5)
    macro = [as_ties["macro"][name] for name in ("precision", "recall", "f1")]
    assert macro == pytest.approx([0.5879, 0.5736, 0.5755], abs=5e-5)
    assert told["experts"]["fleiss"]["value"] == pytest.approx(0.8642, abs=5e-5)
