"""Who is who in a query with models."""

from __future__ import annotations

from typing import Any

import pytest
from sqlglot import exp, parse_one

from modiste.actions import predictors
from modiste.actions.predictors import Named
from modiste.sql.errors import SqlError
from modiste.sql.model_sides import Model, sides, split, touches, using_of
from modiste.types import PredictorVersion


@pytest.fixture
def version(speaker: Any) -> PredictorVersion:
    session = speaker.session
    with session.place.database.transaction(write=False) as tx:
        return predictors.get(tx, session.caller, Named("mindsdb", "m"))


def read(text: str, version: PredictorVersion) -> tuple[exp.Select, list[Model], list[str]]:
    tree = parse_one(text, dialect="mysql")
    assert isinstance(tree, exp.Select)
    known: Any = {id(t): version for t in tree.find_all(exp.Table) if t.name.startswith("m")}
    models, data = sides(tree, known)
    return tree, models, [clause.this.alias_or_name for clause in data]


def test_a_model_may_stand_first_and_its_inputs_are_mapped_from_either_side(
    version: PredictorVersion,
) -> None:
    _, models, data = read("SELECT * FROM m JOIN t AS A ON A.y = m.x AND m.z = -1", version)
    (model,) = models
    assert (model.alias, data) == ("m", ["A"])
    assert (model.columns, model.constants) == ({"x": ("a", "y")}, {"z": -1})


def test_conditions_go_to_the_data_the_inputs_or_the_answers(version: PredictorVersion) -> None:
    tree, models, _ = read(
        "SELECT * FROM t JOIN m WHERE t.a > 1 AND m.content = 'x' AND answer <> 'y' "
        "AND (m.answer = 'z' OR t.b = 2)",
        version,
    )
    own, after = split(tree, models)
    assert [part.sql() for part in own] == ["t.a > 1"]
    assert [part.sql() for part in after] == ["answer <> 'y'", "m.answer = 'z' OR t.b = 2"]
    assert models[0].constants == {"content": "x"}
    assert not touches(models, own[0])


def test_using_is_for_all_models_or_for_one() -> None:
    using = {"max_tokens": 1, "a.max_tokens": 2, "seed": 3}
    assert using_of(using, "a", {"a", "b"}) == {"max_tokens": 2, "seed": 3}
    assert using_of(using, "b", {"a", "b"}) == {"max_tokens": 1, "seed": 3}
    with pytest.raises(SqlError, match="no model of this query is called a"):
        using_of(using, "b", {"b"})


def test_an_on_that_stands_at_the_data_is_parted(version: PredictorVersion) -> None:
    tree, models, data = read("SELECT * FROM m JOIN a ON m.x = a.x JOIN b ON m.y = b.y", version)
    assert (data, models[0].columns) == (["a", "b"], {"x": ("a", "x"), "y": ("b", "y")})
    assert tree.sql().endswith("CROSS JOIN b")
    tree, _, _ = read("SELECT * FROM a JOIN m JOIN b ON m.y = b.y AND b.id = a.id", version)
    assert tree.sql().endswith("JOIN b ON b.id = a.id")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("SELECT * FROM m JOIN m AS m2", "A model is joined with data"),
        ("SELECT * FROM t JOIN m JOIN m", "m is joined twice"),
        ("SELECT * FROM t JOIN m AS t", "t is joined twice"),
        ("SELECT * FROM m JOIN t ON m.x = t.x AND t.y = 1", "only model.input = data.column"),
        ("SELECT * FROM t JOIN m ON m.x > t.y", "only model.input = data.column"),
        ("SELECT * FROM t JOIN m ON m.x = lower(t.y)", "only model.input = data.column"),
    ],
)
def test_what_is_no_join_with_a_model_is_told(
    version: PredictorVersion, text: str, told: str
) -> None:
    with pytest.raises(SqlError, match=told):
        read(text, version)
