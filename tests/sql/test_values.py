"""Values of USING and PARAMETERS."""

import pytest

from modiste.sql.errors import SqlError
from modiste.sql.lexer import Cursor, pieces
from modiste.sql.values import pairs, parameters


def read(text: str, *bound: object) -> dict[str, object]:
    return pairs(Cursor(pieces(text, "mysql")[0], bound))


def test_every_kind_of_value_is_read() -> None:
    text = "a='it''s\\n', b=-1.5, c=1e3, d=true, e=NULL, f=[1,'x'], "
    text += "g={\"k\": -2, 'l':[]}, h=word, m.i=7"
    assert read(text) == {
        "a": "it's\n", "b": -1.5, "c": 1000.0, "d": True, "e": None, "f": [1, "x"],
        "g": {"k": -2, "l": []}, "h": "word", "m.i": 7,
    }  # fmt: skip


def test_bound_values_are_values_and_never_text() -> None:
    assert read("a = ?, b = ?", "x' OR '1", 3) == {"a": "x' OR '1", "b": 3}
    with pytest.raises(SqlError, match="parameter 1"):
        read("a = ?")


def test_a_key_given_twice_is_refused() -> None:
    with pytest.raises(SqlError, match="given twice"):
        read("a = 1, a = 2")


def test_parameters_take_an_object_with_either_quote() -> None:
    at = Cursor(pieces("PARAMETERS = {'host':'h', \"ssl\":true}", "mysql")[0])
    assert parameters(at) == {"host": "h", "ssl": True}
