"""Every refusal has MySQL's number and PostgreSQL's state."""

import pytest

from modiste import errors as house
from modiste.sql import errors


def test_a_syntax_error_says_where() -> None:
    error = errors.syntax("expected FROM", line=2, column=7)
    assert (error.code, error.sqlstate) == (1064, "42601")
    assert "line 2, column 7" in error.message


@pytest.mark.parametrize(
    ("refused", "number", "state"),
    [
        (house.Forbidden("no"), 1045, "28P01"),
        (house.NotFound("no"), 1146, "42P01"),
        (house.Conflict("no"), 1050, "42P07"),
        (house.NotYetSupported("no"), 1235, "0A000"),
        (house.Busy("no"), 1040, "53300"),
        (house.Unavailable("no"), 1205, "57P03"),
        (house.InvalidInput("no"), 1149, "42000"),
    ],
)
def test_what_an_action_refuses_keeps_its_message(
    refused: house.ModisteError, number: int, state: str
) -> None:
    error = errors.translated(refused)
    assert (error.code, error.sqlstate, error.message) == (number, state, "no")


def test_an_error_of_this_door_stays_itself() -> None:
    error = errors.no_database("d")
    assert errors.translated(error) is error
    assert (error.code, error.sqlstate) == (1049, "3D000")
