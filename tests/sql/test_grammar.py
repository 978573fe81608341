"""Statements about models, word for word."""

import pytest

from modiste.sql.errors import SqlError
from modiste.sql.grammar import statements
from modiste.sql.statements import (
    CancelFinetune,
    CreateEngine,
    CreateModel,
    DropModel,
    Evaluate,
    Finetune,
    Raw,
    Retrain,
    SetActive,
    SetVariables,
    Statement,
    Transaction,
)

SAID = {
    "CREATE ML_ENGINE IF NOT EXISTS e FROM h USING k = 1": CreateEngine("e", "h", {"k": 1}, True),
    "create or replace predictor p.m predict a using engine='e', n=2;": CreateModel(
        ("p", "m"), "a", {"engine": "e", "n": 2}, or_replace=True
    ),
    "FINETUNE MODEL m.1 FROM d (SELECT 1) USING n_epochs=1": Finetune(
        ("m", "1"), Raw("d", "SELECT 1"), {"n_epochs": 1}
    ),
    "EXPLAIN FINETUNE m FROM (SELECT 1)": Finetune(("m",), Raw(None, "SELECT 1"), {}, True),
    "RETRAIN m PREDICT b USING tag='x'": Retrain(("m",), None, "b", {"tag": "x"}),
    "CANCEL FINETUNE m.2": CancelFinetune(("m", "2")),
    "SET model_active = p.m.2": SetActive(("p", "m", "2")),
    "SET ACTIVE m.2": SetActive(("m", "2")),
    "UPDATE p.models_versions SET active=1 WHERE version=2 AND name='m'": SetActive(
        ("p", "m", "2")
    ),
    "DELETE FROM models_versions WHERE name='m' AND version=2": DropModel(("m", "2")),
    "DROP MODEL IF EXISTS m.1": DropModel(("m", "1"), True),
    "SET NAMES utf8mb4": SetVariables({"names": "utf8mb4"}),
    "SET autocommit=0, @@session.sql_mode='a'": SetVariables({"autocommit": "0", "sql_mode": "a"}),
    "START TRANSACTION": Transaction("BEGIN"),
    "EVALUATE accuracy FROM (SELECT 1)": Evaluate("accuracy", "SELECT 1"),
}


@pytest.mark.parametrize("text", SAID)
def test_a_statement_is_read(text: str) -> None:
    assert statements(text, "mysql") == [SAID[text]]


def test_both_dialects_read_the_same_statements() -> None:
    def read(dialect: str) -> list[Statement]:
        return [statements(text, dialect)[0] for text in SAID]  # type: ignore[arg-type]

    assert read("postgres") == read("mysql")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("SELEC 1", "no statement begins so, found 'SELEC' (line 1, column 1)"),
        ("CREATE MODEL m\n PREDICT a USING x 3", "expected =, found '3' (line 2, column 20)"),
        ("DROP MODEL m m", "expected the end of the statement, found 'm' (line 1, column 14)"),
        ("CREATE MODEL m PREDICT", "expected a name (line 1, column 23)"),
        ("CREATE MODEL m PREDICT a USING k=1, k=2", "k is given twice"),
    ],
)
def test_a_slip_is_told_with_line_and_column(text: str, told: str) -> None:
    with pytest.raises(SqlError) as refused:
        statements(text, "mysql")
    assert told in refused.value.message
    assert (refused.value.code, refused.value.sqlstate) == (1064, "42601")


def test_deep_nesting_is_refused_and_nothing_breaks() -> None:
    with pytest.raises(SqlError, match="nested too deeply"):
        statements("SELECT " + "(" * 3000 + "1" + ")" * 3000, "mysql")
