"""EVALUATE and COMPARE: figures of rows, and of two versions on the same rows."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pymysql
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from answering import QUESTIONS, answering, speaking_as
from real_wires import Doors
from scripted import ScriptedEngine
from speaking import Speaker

from modiste.actions import evaluations
from modiste.evaluate.comparison import compare
from modiste.serve.sequence import Failed
from modiste.sql.errors import SqlError
from modiste.types import EvalRun, Scope

JOINED = f"SELECT q.id, q.actual, k.answer AS prediction FROM ({QUESTIONS}) AS q JOIN k"


@pytest.fixture(scope="module", autouse=True)
def versions(speaker: Speaker) -> Iterator[None]:
    """k.1 asks plainly, k.2, which answers to k, loudly."""
    speaker(
        "CREATE MODEL k PREDICT answer USING model_name = 'modiste-tiny', "
        "prompt_template = '{{content}}'; RETRAIN k USING prompt_template = 'loud {{content}}'"
    )
    yield  # fmt: skip
    speaker("DROP MODEL k")


def say(prompt: str, number: int) -> str:
    """Plainly asked, one of four answers is wrong."""
    return "yes" if "loud" in prompt or number % 4 else "no"


def runs(speaker: Speaker) -> list[EvalRun]:
    session = speaker.session
    with session.place.database.transaction(write=False) as tx:
        return list(evaluations.list_(tx, session.caller).items)


def test_rows_of_a_table_have_a_figure_with_n_and_interval_and_make_no_run(
    speaker: Speaker,
) -> None:
    before = len(runs(speaker))
    (told,) = speaker("EVALUATE accuracy FROM (SELECT text AS actual, CASE WHEN n > 3 THEN 'no' "
                      "ELSE text END AS prediction FROM shop.asked)")  # fmt: skip
    assert (told["METRIC"], told["VALUE"], told["N"]) == ("exact.mean", 2 / 3, 3)
    assert told["UNSCORED"] == 1  # One row has no text, which is no wrong answer.
    assert 0 < told["LO"] < 2 / 3 < told["HI"] < 1
    assert (told["LEVEL"], told["RUN"]) == (0.95, None)
    assert "no model's own column" in speaker("SHOW WARNINGS")[0]["Message"]
    assert len(runs(speaker)) == before


def test_answers_of_a_version_are_kept_as_a_run_of_it(speaker: Speaker) -> None:
    answering(speaker, lambda prompt, number: "yes" if number % 5 else "no")
    (told,) = speaker(f"EVALUATE exact FROM ({JOINED})")
    assert (told["VALUE"], told["N"], told["UNSCORED"]) == (0.8, 50, 0)
    newest = runs(speaker)[0]
    assert (newest.id, newest.model_id, newest.subject) == (
        told["RUN"], "modiste-tiny", "mindsdb.k.2",
    )  # fmt: skip
    assert newest.record is not None
    assert newest.record["primary"] == "exact.mean"
    assert newest.record["details"]["imported"]["harness"] == "SQL"
    assert newest.counts.total == 50
    listed = speaker(f"SELECT VALUE, N, SUBJECT FROM information_schema.evals "
                     f"WHERE ID = '{told['RUN']}'")  # fmt: skip
    assert [tuple(row.values()) for row in listed] == [(0.8, 50, "mindsdb.k.2")]


@pytest.mark.parametrize("column", ["upper(k.answer)", "q.actual", "'yes'"])
def test_what_is_not_a_versions_own_column_is_nobodys_run(speaker: Speaker, column: str) -> None:
    answering(speaker, say)
    query = JOINED.replace("k.answer", column)
    (told,) = speaker(f"EVALUATE exact FROM ({query} WHERE q.id < 5)")
    assert (told["RUN"], told["N"]) == (None, 5)


def test_the_same_rows_in_another_order_are_the_same_dataset(speaker: Speaker) -> None:
    answering(speaker, say)
    ids = [
        speaker(f"EVALUATE exact FROM ({JOINED} WHERE q.id < 9 ORDER BY q.id {way})")[0]["RUN"]
        for way in ("ASC", "DESC")
    ]
    (told,) = speaker(f"COMPARE '{ids[0]}' WITH '{ids[1]}'")
    assert (told["N"], told["TIED"], told["VERDICT"]) == (9, 9, "insufficient evidence")


@pytest.mark.parametrize(
    ("text", "told", "code"),
    [
        ("EVALUATE rubric FROM (SELECT 1 AS actual, 1 AS prediction)", "ask a model", 1149),
        ("EVALUATE exact FROM (SELECT 1 AS actual)", "column prediction", 1054),
        ("EVALUATE exact FROM (SELECT text AS actual, text AS prediction FROM shop.asked "
         "WHERE id > 9)", "no rows", 1149),
        ("EVALUATE exact FROM (DROP MODEL k)", "Expected one query", 1149),
        ("EVALUATE exact FROM (SELECT 1 AS actual, 1 AS prediction) USING no = 1", "exact: ", 1149),
        ("COMPARE k.1 WITH k.9 ON (SELECT 1)", "Model does not exist: mindsdb.k.9", 1146),
        ("COMPARE k.1 WITH k.2 ON (SELECT 'a' AS content)", "column actual", 1054),
        ("COMPARE k.1 WITH k.2 ON (SELECT 'a' AS actual)", "reads column content", 1054),
        ("COMPARE k.1 WITH k.2 ON nodb (SELECT 1)", "Database does not exist: nodb", 1049),
        ("COMPARE k.1 WITH k.2 ON (SELECT 1 AS actual, 1 AS content) USING colour = 1",
         "colour cannot be said", 1149),
        (f"COMPARE k.1 WITH k.2 ON ({QUESTIONS}) USING delta = 0", "delta is 0", 1149),
        (f"COMPARE k.1 WITH k.2 ON ({QUESTIONS}) USING metric = 'numeric'",
         "scorer is exact", 1149),
        (f"COMPARE k.1 WITH k.2 ON ({QUESTIONS}) USING scorer = 'classification'",
         "name 1 labels", 1149),
        (f"COMPARE k.1 WITH k.2 ON ({QUESTIONS}) USING scorer = {{'abs': 1}}", "no kind", 1149),
        (f"COMPARE k.1 WITH k.2 ON ({QUESTIONS} AND chat_id < 2 UNION ALL {QUESTIONS} AND "
         "chat_id < 2)", "two rows have the id", 1149),
        ("COMPARE 'nosuchrun' WITH 'nosuchrun'", "No run 'nosuchrun'", 1146),
        ("COMPARE 'a' WITH 'b' USING temperature = 1", "temperature is nothing", 1149),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said_before_anybody_is_asked(
    speaker: Speaker, text: str, told: str, code: int
) -> None:
    before = len(runs(speaker))
    with pytest.raises(SqlError, match=told) as refused:
        speaker(text)
    assert refused.value.code == code
    assert (speaker.engine.asked, len(runs(speaker))) == ([], before)


def test_two_versions_answer_the_same_rows_and_one_is_better(speaker: Speaker) -> None:
    answering(speaker, say)
    (told,) = speaker(f"COMPARE k.1 WITH k.2 ON ({QUESTIONS})")
    assert (told["METRIC"], told["A"], told["B"]) == ("exact.mean", 37 / 50, 1.0)
    assert told["DIFFERENCE"] == pytest.approx(13 / 50)
    assert (told["WON"], told["TIED"], told["LOST"], told["N"]) == (13, 37, 0, 50)
    assert 0 < told["LO"] < told["DIFFERENCE"] < told["HI"]
    assert told["VERDICT"] == "better"
    assert "n=50" in told["SENTENCE"]
    notes = " ".join(row["Message"] for row in speaker("SHOW WARNINGS"))
    assert "the prompts differ" in notes
    assert len(speaker.engine.asked) == 100


def test_what_is_said_is_what_a_comparison_of_the_two_runs_says(speaker: Speaker) -> None:
    answering(speaker, say)
    scorer = "{'kind': 'classification', 'labels': ['yes', 'no']}"
    asked = speaker(f"COMPARE k.2 WITH k.1 ON ({QUESTIONS}) USING scorer = {scorer}, "
                    "metric = 'classification.accuracy', delta = 0.02")  # fmt: skip
    session = speaker.session
    with session.place.database.transaction(write=False) as tx:
        a, b = (evaluations.load(tx, session.caller, asked[0][f"RUN_{side}"]) for side in "AB")
    found = compare(a, b, metrics=("classification.accuracy",), delta=0.02)
    assert [row["SENTENCE"] for row in asked] == [d.decision.sentence for d in found.differences]
    assert asked[0]["VERDICT"] == str(found.primary.verdict) == "worse"
    whole = speaker(f"COMPARE '{asked[0]['RUN_A']}' WITH '{asked[0]['RUN_B']}'")
    assert "classification.macro_f1" in [row["METRIC"] for row in whole]


def test_a_model_that_fails_ends_it_unless_its_answers_may_be_missing(speaker: Speaker) -> None:
    before = len(runs(speaker))
    speaker.engine.failure = Failed("", "engine_error", "broken")
    with pytest.raises(SqlError):
        speaker(f"COMPARE k.1 WITH k.2 ON ({QUESTIONS})")
    assert len(runs(speaker)) == before
    (told,) = speaker(f"COMPARE k.1 WITH k.2 ON ({QUESTIONS}) USING on_error = 'null'")
    assert (told["UNSCORED_A"], told["UNSCORED_B"], told["N"]) == (50, 50, 0)
    assert (told["DIFFERENCE"], told["VERDICT"]) == (None, "insufficient evidence")
    assert "no item has a score in both runs" in told["SENTENCE"]


def test_more_rows_than_are_allowed_are_not_asked(speaker: Speaker) -> None:
    with pytest.raises(SqlError, match="50 rows would be asked, and 10 are allowed"):
        speaker(f"COMPARE k.1 WITH k.2 ON ({QUESTIONS}) USING max_rows = 10")
    assert speaker.engine.asked == []


def test_runs_on_other_rows_are_not_compared(speaker: Speaker) -> None:
    answering(speaker, say)
    ids = [speaker(f"EVALUATE exact FROM ({JOINED} WHERE q.id < {n})")[0]["RUN"] for n in (4, 5)]
    with pytest.raises(SqlError, match="cannot be compared: the items differ"):
        speaker(f"COMPARE '{ids[0]}' WITH '{ids[1]}'")


def test_a_key_that_may_not_ask_measures_nothing_and_samples_are_the_keys_own(
    speaker: Speaker,
) -> None:
    answering(speaker, say)
    (told,) = speaker(f"EVALUATE exact FROM ({JOINED} WHERE q.id < 4)")
    blind = speaking_as(speaker, Scope.DATA)
    for text in (f"EVALUATE exact FROM ({QUESTIONS})", "COMPARE 'run-one' WITH 'run-two'"):
        with pytest.raises(SqlError) as refused:
            blind(text)
        assert refused.value.code == 1045
    other = speaking_as(speaker, Scope.INFER, Scope.DATA)
    with pytest.raises(SqlError, match="for another key alone"):
        other(f"COMPARE '{told['RUN']}' WITH '{told['RUN']}'")
    foreign: Any = speaking_as(speaker, Scope.INFER, Scope.DATA, org="elsewhere")
    with pytest.raises(SqlError, match="No run"):
        foreign(f"COMPARE '{told['RUN']}' WITH '{told['RUN']}'")
    assert isinstance(speaker.engine, ScriptedEngine)


def test_clients_of_both_wires_read_figures_and_verdicts(speaker: Speaker, doors: Doors) -> None:
    """Over the extended protocol and as a prepared text, whose columns nobody knows beforehand."""
    answering(speaker, say)
    few = f"COMPARE k.1 WITH k.2 ON ({QUESTIONS} AND chat_id < 4)"

    async def postgres() -> list[Any]:
        connection = await asyncpg.connect(
            host="127.0.0.1", port=doors.postgres, user="me", password=doors.key,
            database="mindsdb", ssl=False,
        )  # fmt: skip
        try:
            return [dict(row) for row in await connection.fetch(few)]
        finally:
            await connection.close()

    (told,) = asyncio.run(postgres())
    assert (told["N"], told["WON"], told["VERDICT"]) == (4, 1, "insufficient evidence")
    with pymysql.connect(
        host="127.0.0.1", port=doors.mysql, user="me", password=doors.key, database="mindsdb"
    ) as connection, connection.cursor() as cursor:  # fmt: skip
        cursor.execute("EVALUATE exact FROM (SELECT 'a' AS actual, %s AS prediction)", ("b' x",))
        row = dict(zip([each[0] for each in cursor.description], cursor.fetchone(), strict=True))
    assert (row["METRIC"], row["VALUE"], row["N"]) == ("exact.mean", 0.0, 1)
    assert row["LO"] == 0.0 < row["HI"] < 1
