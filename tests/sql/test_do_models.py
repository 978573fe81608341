"""Engines, models and versions by statement."""

import pytest

from modiste.sql.catalog import ANSWER
from modiste.sql.errors import SqlError


def test_a_model_answers_with_its_row_and_notes_what_stands_for_what(speaker) -> None:  # type: ignore[no-untyped-def]
    text = ("CREATE MODEL n PREDICT a USING engine='anyscale_endpoints', api_key='k', "
            "model_name='open-mistral-7b', prompt_template='{{q}}'")  # fmt: skip
    (row,) = speaker(text)
    assert tuple(row) == ANSWER
    assert (row["NAME"], row["VERSION"], row["ACTIVE"], row["STATUS"]) == ("n", 1, 1, "complete")
    assert speaker.session.notes == [
        "api_key is not needed here and was not kept.",
        "model_name 'open-mistral-7b' is answered by modiste-tiny (base_aliases of the settings).",
    ]
    assert len(speaker("SHOW WARNINGS")) == 2
    with pytest.raises(SqlError, match=r"Model already exists: mindsdb\.n"):
        speaker(text)
    assert speaker(text.replace("MODEL", "MODEL IF NOT EXISTS"))[0]["VERSION"] == 1
    with pytest.raises(SqlError, match="Unable to drop ml engine with active models: \\['n'\\]"):
        speaker("DROP ML_ENGINE anyscale_endpoints")
    assert speaker(text.replace("CREATE", "CREATE OR REPLACE"))[0]["STATUS"] == "complete"
    assert speaker("DROP MODEL n; DROP ML_ENGINE anyscale_endpoints") == "DROP ML_ENGINE"


def test_a_base_that_is_not_here_is_told_in_the_row(speaker) -> None:  # type: ignore[no-untyped-def]
    (row,) = speaker("CREATE MODEL gone PREDICT a USING model_name='nope', prompt='p'")
    assert row["STATUS"] == "error"
    assert str(row["ERROR"]).startswith("Invalid model name. Please use one of ['modiste-tiny'")
    with pytest.raises(SqlError, match="currently in 'error' status"):
        speaker("SELECT a FROM gone WHERE question='x'")
    speaker("DROP MODEL gone")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("CREATE MODEL x PREDICT a USING model_name='modiste-tiny'", "question_column or"),
        ("CREATE MODEL x PREDICT a USING prompt='p', mode='odd'", "Invalid operation mode"),
        ("CREATE MODEL x PREDICT a USING prompt='p', promt_template='{{q}}'", "did you mean"),
        ("CREATE MODEL x PREDICT a USING prompt='p', engine='odd'", "There is no engine 'odd'"),
        ("CREATE ML_ENGINE x FROM odd", "There is no engine 'odd'"),
        ("DROP ML_ENGINE x", "Integration does not exists: x"),
        ("DROP MODEL x", "Model does not exist: mindsdb.x"),
        ("DROP MODEL m.4", "Model m with version 4 is not found in mindsdb"),
        ("SET ACTIVE m", "Say which version"),
        ("CANCEL FINETUNE m.1", "nothing to cancel"),
        ("FINETUNE x FROM shop (SELECT 1)", "Predictor not found: name='x' id='-'"),
        ("FINETUNE m FROM nodb (SELECT 1)", "Database does not exist: nodb"),
        ("FINETUNE m FROM shop (SELECT 1) USING n_epochs='many'", "expected a number"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_told(speaker, text: str, told: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SqlError) as refused:
        speaker(text)
    assert told in refused.value.message
