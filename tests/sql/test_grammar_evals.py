"""How statements that measure models are read."""

import pytest

from modiste.sql.errors import SqlError
from modiste.sql.grammar import statements
from modiste.sql.statements import Compare, Evaluate, Promote, Raw, Statement

SAID: dict[str, Statement] = {
    "EVALUATE classification.macro_f1 FROM (SELECT a AS actual FROM t) USING labels = ['x', 'y']": (
        Evaluate("classification.macro_f1", "SELECT a AS actual FROM t", {"labels": ["x", "y"]})
    ),
    "COMPARE m.1 WITH p.m.2 ON d (SELECT 1) USING scorer = {'kind': 'numeric'}, delta = 0.02": (
        Compare(("m", "1"), ("p", "m", "2"), Raw("d", "SELECT 1"),
                {"scorer": {"kind": "numeric"}, "delta": 0.02})
    ),
    "compare model m with predictor n on (select 1)": Compare(
        ("m",), ("n",), Raw(None, "select 1")
    ),
    "COMPARE 'r-1' WITH 'r-2' USING metric = 'exact'": Compare(
        ("r-1",), ("r-2",), None, {"metric": "exact"}
    ),
    "PROMOTE m.2": Promote(("m", "2")),
    "PROMOTE MODEL p.m.2 TO 'bot@production' USING runs = ['r'] OVERRIDE 'it is late'": Promote(
        ("p", "m", "2"), "bot@production", {"runs": ["r"]}, "it is late"
    ),
    "PROMOTE m.2 TO bot.live OVERRIDE 'why'": Promote(("m", "2"), "bot.live", {}, "why"),
}  # fmt: skip


@pytest.mark.parametrize("text", SAID)
def test_a_statement_is_read_in_both_dialects(text: str) -> None:
    assert statements(text, "mysql") == [SAID[text]] == statements(text, "postgres")


def test_what_is_bound_is_a_text() -> None:
    assert statements("COMPARE ? WITH ?", "mysql", ["r-1", "r-2"]) == [
        Compare(("r-1",), ("r-2",), None)
    ]
    assert statements("PROMOTE m.2 TO $1 OVERRIDE $2", "postgres", ["b", "x' OR 1"]) == [
        Promote(("m", "2"), "b", {}, "x' OR 1")
    ]
    assert statements("PROMOTE m.2 TO ?", "mysql", [None]) == [Promote(("m", "2"), "")]
    with pytest.raises(SqlError, match="expected a string"):
        statements("COMPARE ? WITH ?", "mysql", ["r-1", 2])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("COMPARE m.1 WITH 'r-2'", "two versions of models, or two ids of runs"),
        ("COMPARE m.1 WITH m.2", "expected ON"),
        ("COMPARE 'a' WITH 'b' ON (SELECT 1)", "expected the end"),
        ("PROMOTE m.2 OVERRIDE", "expected a string"),
        ("PROMOTE m.2 TO", "expected a name"),
        ("EVALUATE FROM (SELECT 1)", "expected FROM"),
    ],
)
def test_what_is_missing_is_said(text: str, told: str) -> None:
    with pytest.raises(SqlError, match=told):
        statements(text, "mysql")
