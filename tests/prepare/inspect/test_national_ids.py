"""National identity numbers with their check digits."""

import pytest

from modiste.prepare.inspect.national_ids import national_ids


def names(text: str) -> list[str]:
    return [found.name for found in national_ids(text)]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        # Specimens that the issuing authorities or encyclopedias print.
        ("my number is 219-09-9998", "US social security"),
        ("NIR 2 55 08 14 168 025 38", "French INSEE"),
        ("DNI 12345678Z", "Spanish DNI"),
        ("NIE X1234567L", "Spanish DNI"),
        ("codice fiscale RSSMRA85T10A562S", "Italian codice fiscale"),
        ("CPF 111.444.777-35", "Brazilian CPF"),
        ("身份证 11010519491231002X", "Chinese resident id"),
        ("Aadhaar 2341 2341 2346", "Indian Aadhaar"),
    ],
)
def test_a_specimen_of_every_kind_is_found(text: str, name: str) -> None:
    assert names(text) == [name]


@pytest.mark.parametrize(
    "text",
    [
        "666-12-3456",
        "2 55 08 14 168 025 39",
        "12345678A",
        "RSSMRA85T10A562X",
        "111.444.777-36",
        "110105194912310021",
        "2341 2341 2347",
        "1000 2000 3000",
    ],
)
def test_a_wrong_check_digit_is_no_id(text: str) -> None:
    assert names(text) == []
