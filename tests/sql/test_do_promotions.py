"""PROMOTE: names that are switched on evidence, or for a reason that is kept."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from answering import QUESTIONS, answering, speaking_as
from speaking import Speaker

from modiste.actions import models, promotions
from modiste.errors import NotFound
from modiste.sql.errors import SqlError
from modiste.types import Promotion, Scope


@pytest.fixture(scope="module", autouse=True)
def versions(speaker: Speaker) -> Iterator[None]:
    speaker(
        "CREATE MODEL p PREDICT answer USING model_name = 'modiste-tiny', "
        "prompt_template = '{{content}}'; RETRAIN p USING prompt_template = 'loud {{content}}'"
    )
    yield  # fmt: skip
    speaker("DROP MODEL p")


def history(speaker: Speaker, name: str) -> list[Promotion]:
    session = speaker.session
    with session.place.database.transaction(write=False) as tx:
        try:
            return list(promotions.history(tx, session.caller, name))
        except NotFound:
            return []


def answers(speaker: Speaker, name: str) -> str | None:
    session = speaker.session
    with session.place.database.transaction(write=False) as tx:
        try:
            return models.resolve(tx, session.caller, name).id
        except NotFound:
            return None


def compared(speaker: Speaker) -> tuple[str, str]:
    answering(speaker, lambda prompt, number: "yes" if "loud" in prompt or number % 3 else "no")
    (told,) = speaker(f"COMPARE p.1 WITH p.2 ON ({QUESTIONS})")
    return told["RUN_A"], told["RUN_B"]


@pytest.mark.parametrize("more", ["", " USING gate = {'floors': [{'metric': 'exact', "
                                  "'at_least': 0.9}]}"])  # fmt: skip
def test_without_evidence_nothing_is_switched(speaker: Speaker, more: str) -> None:
    with pytest.raises(SqlError, match=r"p@production is switched on evidence.*OVERRIDE"):
        speaker(f"PROMOTE p.2{more}")
    assert answers(speaker, "p@production") is None
    assert history(speaker, "p@production") == []


def test_an_override_switches_and_its_reason_is_kept(speaker: Speaker) -> None:
    (told,) = speaker("PROMOTE p.2 TO 'forced@production' OVERRIDE 'the demo is at noon'")
    assert (told["NAME"], told["MODEL"], told["DECISION"]) == (
        "forced@production", "modiste-tiny", "overridden",
    )  # fmt: skip
    assert "prompt_template of mindsdb.p.2 does not go" in speaker("SHOW WARNINGS")[0]["Message"]
    assert answers(speaker, "forced@production") == "modiste-tiny"
    (kept,) = history(speaker, "forced@production")
    assert (kept.reason, kept.decided_by) == (
        "the demo is at noon", speaker.session.caller.key_id,
    )  # fmt: skip
    with pytest.raises(SqlError, match="override is empty"):
        speaker("PROMOTE p.2 TO 'forced@other' OVERRIDE ' '")


def test_the_gate_refuses_runs_of_statements_and_the_refusal_is_on_record(speaker: Speaker) -> None:
    a, b = compared(speaker)
    with pytest.raises(SqlError, match=r"strict@production is not set: the gate says fail of "
                       r"modiste-tiny.*runs were made here: fail.*allow_imported"):  # fmt: skip
        speaker(f"PROMOTE p.2 TO 'strict@production' USING runs = ['{b}'], baselines = ['{a}']")
    assert answers(speaker, "strict@production") is None
    assert [str(each.kind) for each in history(speaker, "strict@production")] == ["refused"]


def test_a_gate_that_is_passed_switches_once(speaker: Speaker) -> None:
    a, b = compared(speaker)
    gate = "{'name': 'shown', 'primary': {'metric': 'exact'}, 'allow_imported': true}"
    text = (f"PROMOTE p.2 TO 'shown@production' USING gate = {gate}, runs = '{b}', "
            f"baselines = ['{a}']")  # fmt: skip
    (told,) = speaker(text)
    assert (told["DECISION"], told["GATE"], told["REASON"]) == ("promoted", "pass", None)
    assert answers(speaker, "shown@production") == "modiste-tiny"
    with pytest.raises(SqlError, match="answered by modiste-tiny already"):
        speaker(text)
    swapped = text.replace(b, "B").replace(a, b).replace("'B'", f"'{a}'")
    worse = swapped.replace("shown@", "worse@")
    with pytest.raises(SqlError, match=r"better on exact\.mean: fail"):
        speaker(worse.replace("PROMOTE p.2", "PROMOTE p.1"))
    assert answers(speaker, "worse@production") is None


@pytest.mark.parametrize(
    ("text", "told", "code"),
    [
        ("PROMOTE p OVERRIDE 'x'", r"Say which version: PROMOTE p\.N", 1149),
        ("PROMOTE p.9 OVERRIDE 'x'", "Model p with version 9 is not found in mindsdb", 1146),
        ("PROMOTE p.2 USING run = 'x'", "USING: run: .*did you mean|run", 1149),
        ("PROMOTE p.2 TO '' OVERRIDE 'x'", "name is ''", 1149),
        ("PROMOTE p.2 TO 'a:b' OVERRIDE 'x'", "name is 'a:b'", 1149),
        ("PROMOTE p.2 TO 'n@x' USING runs = ['nosuchrun']", "No run 'nosuchrun'", 1146),
    ],
)
def test_what_cannot_be_is_said(speaker: Speaker, text: str, told: str, code: int) -> None:
    with pytest.raises(SqlError, match=told) as refused:
        speaker(text)
    assert refused.value.code == code


def test_a_key_that_may_not_train_promotes_nothing(speaker: Speaker) -> None:
    weak = speaking_as(speaker, Scope.INFER, Scope.DATA)
    with pytest.raises(SqlError) as refused:
        weak("PROMOTE p.2 TO 'weak@production' OVERRIDE 'x'")
    assert refused.value.code == 1045
    assert answers(speaker, "weak@production") is None
