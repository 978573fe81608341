"""`modiste models promote`, `rollback`, `history`, from a gate's file to the name that answers."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from modiste import settings
from modiste.actions import keys
from modiste.evaluate.record import Run
from modiste.store.database import Database

sys.path.insert(0, str(Path(__file__).parents[1] / "evaluate"))
from kept_runs import keep
from scripted_runs import run, shares

NAME = "support-bot@production"


def of_tiny(right: int) -> Run:
    made = run("tiny", {"exact": shares(200, right)})
    tiny = {"model_id": "modiste-tiny", "model_version": "modiste-tiny", "parity_passed": None}
    return replace(made, record=replace(made.record, **tiny))


@pytest.fixture
def kept(home: Path) -> dict[str, str]:
    """Ids of a good and a bad run of the shipped base, and of one to hold them against."""
    database = Database(settings.load())
    database.migrate()
    with database.transaction() as tx:
        actor = keys.authenticate(tx, keys.bootstrap(tx))  # type: ignore[arg-type]
    runs = {
        "good": of_tiny(150),
        "bad": of_tiny(90),
        "old": run("old", {"exact": shares(200, 100)}),
    }
    ids = {name: keep(database, actor, made) for name, made in runs.items()}
    database.close()
    return ids


def test_a_model_is_refused_promoted_guarded_and_rolled_back(
    modiste, tmp_path: Path, kept: dict[str, str]
) -> None:
    gate = tmp_path / "gate.yaml"
    gate.write_text("name: support\nprimary: {metric: exact}\napprovers: {names: [anna]}\n")
    promote = ["models", "promote", "modiste-tiny", "--as", NAME, "--gate", gate]
    runs = ["--run", kept["good"], "--baseline", kept["old"]]

    refused = modiste(*promote, "--run", kept["bad"], "--baseline", kept["old"])
    assert refused.code == 1
    assert "the gate says" in refused.err
    assert "approved by nobody" in refused.err
    assert modiste("models", "promote", "modiste-tiny", "--as", NAME).code == 2

    promoted = modiste(*promote, *runs, "--approved-by", "anna")
    assert promoted.code == 0
    assert f"{NAME} is answered by modiste-tiny from now on (passed support)" in promoted.err
    assert NAME in modiste("models", "list").out
    by_hand = modiste("models", "alias", NAME, "modiste-tiny")
    assert by_hand.code == 1
    assert "is under a gate" in by_hand.err

    told = modiste("models", "history", NAME)
    assert "refused" in told.out
    assert "anna" in told.out
    whole = modiste("models", "history", NAME, "--json").json["data"]
    assert whole[0]["gate"]["conditions"][0]["numbers"]["value"] == pytest.approx(0.25)

    back = modiste("models", "rollback", NAME)
    assert back.code == 2
    assert "No model answered" in back.err
    assert "Nothing was promoted" not in modiste("models", "history").err


def test_a_rollback_brings_back_what_answered_before(modiste, kept: dict[str, str]) -> None:
    assert modiste("models", "alias", "bot", "modiste-tiny").code == 0
    already = modiste("models", "promote", "modiste-tiny", "--as", "bot", "--override", "why not")
    assert "already" in already.err
    forced = modiste("models", "promote", "modiste-tiny", "--as", NAME, "--override", "day one")
    assert "(overridden)" in forced.err
    assert "day one" in modiste("models", "history", NAME).out
