"""FINETUNE behind its row: rows become files and a job, or an error in the version."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from modiste.actions import files, jobs, predictor_tunings, predictors
from modiste.actions.predictors import Named
from modiste.sql import tuning
from modiste.sql.errors import SqlError
from modiste.store.sql_tables import SqlVersionRow
from modiste.types import PredictorStatus, PredictorVersion

TUNE = "FINETUNE m FROM shop (SELECT * FROM chats) USING n_epochs = 1, tag = 'x', active = 0"


def tuned(speaker: Any, text: str) -> tuple[dict[str, object], PredictorVersion]:
    """The row that answers, and the version once its rows were read."""

    async def go() -> dict[str, object]:
        (row,) = await speaker.say(text)
        await asyncio.gather(*speaker.session.place.tasks)
        return row  # type: ignore[no-any-return]

    row = asyncio.run(go())
    return row, version(speaker, int(str(row["VERSION"])))


def version(speaker: Any, number: int) -> PredictorVersion:
    with speaker.session.place.database.transaction(write=False) as tx:
        return predictors.get(tx, speaker.session.caller, Named("mindsdb", "m", number))


def test_rows_become_files_and_a_job_while_the_row_is_told_at_once(speaker) -> None:  # type: ignore[no-untyped-def]
    row, made = tuned(speaker, TUNE)
    assert (row["ACTIVE"], row["STATUS"], row["TAG"]) == (0, "generating", "x")
    told = made.training
    assert (told["rows"], told["chats"], told["train"], told["validation"]) == (150, 50, 30, 20)
    assert made.options["prompt"] == "Be kind."
    session = speaker.session
    with session.place.database.transaction() as tx:
        job = jobs.get(tx, session.caller, str(made.job_id))
        kept = files.open_content(tx, session.caller, told["training_file"])
        assert b"".join(kept.chunks).count(b"\n") == 30
    assert (job.suffix, job.hyperparameters.epochs) == (f"m-v{made.version}", 1)
    assert job.metadata == {"sql_model": f"mindsdb.m.{made.version}"}
    label = f"m.{made.version}"
    sides = {row["key"]: row["value"] for row in speaker(f"DESCRIBE {label}.training")}
    assert (sides["chats"], sides["phase"], sides["job_id"]) == ("50", "queued", job.id)
    (shown,) = speaker(f"SELECT * FROM models WHERE version = {made.version}")
    assert (shown["CURRENT_TRAINING_PHASE"], shown["TRAINING_PHASE_NAME"]) == (2, "queued")
    (progress,) = speaker("SHOW FINETUNE PROGRESS LIKE 'm'")
    assert (progress["VERSION"], progress["PHASE"]) == (str(made.version), "queued")
    assert (progress["STEP"], progress["JOB"]) == (None, job.id)
    with pytest.raises(SqlError, match="model creation not completed"):
        speaker(f"SELECT answer FROM {label} WHERE content = 'x'")
    speaker(f"CANCEL FINETUNE {label}")
    with session.place.database.transaction(write=False) as tx:
        assert jobs.get(tx, session.caller, job.id).status == "CANCELLED"
    speaker(f"DROP MODEL {label}")


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("shop (SELECT * FROM chats LIMIT 9)", "at least 40 samples"),
        ("shop (SELECT * FROM nope)", "no such table"),
        ("(SELECT * FROM shop.asked)", "No chats in columns id, text, n"),
    ],
)
def test_rows_that_are_none_are_told_in_the_version(speaker, query: str, told: str) -> None:  # type: ignore[no-untyped-def]
    _, made = tuned(speaker, f"FINETUNE m FROM {query}")
    assert made.status is PredictorStatus.ERROR
    assert told in str(made.error)
    assert version(speaker, 1).active
    speaker(f"DROP MODEL m.{made.version}")


def test_what_a_finetune_would_take_is_told_and_nothing_made(speaker) -> None:  # type: ignore[no-untyped-def]
    told = {r["key"]: r["value"] for r in speaker(f"EXPLAIN {TUNE}")}
    assert (told["chats"], told["model"]) == ("50", "modiste-tiny")
    assert int(told["train_tokens"]) > 0
    assert len(speaker("SHOW MODELS")) == 1


def test_a_version_whose_reader_is_gone_is_taken_up(speaker) -> None:  # type: ignore[no-untyped-def]
    session = speaker.session
    place = session.place

    async def go() -> int:
        begun = await place.write(
            lambda tx: predictor_tunings.begin(
                tx, session.caller, Named("mindsdb", "m"), query="SELECT * FROM chats",
                source="shop", options={},
            )
        )  # fmt: skip
        assert await place.write(predictor_tunings.abandoned) == ()

        def silent(tx: Any) -> None:
            row = tx.session.get(SqlVersionRow, begun.seq)
            row.alive_at = tx.now() - timedelta(seconds=predictor_tunings.SILENT_S + 1)

        await place.write(silent)
        watch = asyncio.create_task(tuning.resumed(place))
        while version(speaker, begun.version.version).job_id is None:
            await asyncio.sleep(0.02)
        watch.cancel()
        return begun.version.version

    number = asyncio.run(asyncio.wait_for(go(), 60))
    speaker(f"CANCEL FINETUNE m.{number}; DROP MODEL m.{number}")


def test_a_model_begins_with_rows_and_is_retrained_from_its_base(speaker) -> None:  # type: ignore[no-untyped-def]
    query = "SELECT chat_id AS n, content AS t, role AS r FROM chats WHERE message_id = 1"
    text = (f"CREATE MODEL mindsdb.rows FROM shop ({query}) PREDICT r"
            " USING prompt_template = 'Who says {{t}}?', n_epochs=2, model_name='modiste-tiny'"
            )  # fmt: skip

    def begun(text: str, number: int) -> PredictorVersion:
        async def go() -> None:
            (row,) = await speaker.say(text)
            assert (row["VERSION"], row["STATUS"]) == (number, "generating")
            await asyncio.gather(*speaker.session.place.tasks)

        asyncio.run(go())
        with place.database.transaction(write=False) as tx:
            return predictors.get(tx, actor, Named("mindsdb", "rows", number))

    place, actor = speaker.session.place, speaker.session.caller
    first = begun(text, 1)
    assert (first.active, first.model, first.training["chats"]) == (True, "modiste-tiny", 50)
    with place.database.transaction() as tx:
        kept = files.open_content(tx, actor, first.training["training_file"])
        assert b'"Who says Hi??"' in b"".join(kept.chunks)
    with pytest.raises(SqlError, match="is being made; wait or cancel it first"):
        speaker("RETRAIN rows")
    speaker("CANCEL FINETUNE rows.1")
    again = begun("RETRAIN rows USING tag = 'again', n_epochs = 1", 2)
    assert (again.query, again.source, again.predict) == (query, "shop", "r")
    assert again.options == {**first.options, "n_epochs": 1}
    assert (again.tag, again.active, again.base_version) == ("again", False, None)
    speaker("CANCEL FINETUNE rows.2")
    other = begun(f"RETRAIN rows FROM shop ({query} LIMIT 45) PREDICT t USING active = 0", 3)
    assert (other.predict, other.training["chats"], other.activate) == ("t", 45, False)
    speaker("CANCEL FINETUNE rows.3; DROP MODEL rows")


def test_a_model_without_rows_is_made_anew_with_what_it_had(speaker) -> None:  # type: ignore[no-untyped-def]
    speaker("CREATE MODEL bare PREDICT a USING prompt_template = '{{q}}', max_tokens = 7")
    (row,) = speaker("RETRAIN bare USING tag = 'x'")
    assert (row["VERSION"], row["ACTIVE"], row["STATUS"], row["TAG"]) == (2, 1, "complete", "x")
    assert '"max_tokens": 7' in str(row["TRAINING_OPTIONS"])
    (row,) = speaker("RETRAIN bare USING model_name = 'nope'")
    assert (row["STATUS"], row["ACTIVE"]) == ("error", 0)
    assert speaker("SELECT a FROM bare WHERE q = 'x'") == [{"a": "Hello there."}]
    with pytest.raises(SqlError, match="Database does not exist: nodb"):
        speaker("RETRAIN bare FROM nodb (SELECT 1)")
    with pytest.raises(SqlError, match="Model does not exist"):
        speaker("RETRAIN nope")
    speaker("DROP MODEL bare")
