"""National identity numbers that carry their own proof, or a form that nothing else has.

Left out are those that are bare digits without a check that rules out chance, such as British
national insurance numbers or German tax ids: they would be named in every table of numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple


class NationalId(NamedTuple):
    name: str
    text: str
    start: int


def national_ids(text: str) -> Iterator[NationalId]:
    for name, pattern, holds in _KINDS:
        for match in pattern.finditer(text):
            if holds(re.sub(r"[ .-]", "", match[0])):
                yield NationalId(name, match[0], match.start())


def _us_social_security(digits: str) -> bool:
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"


def _french_insee(digits: str) -> bool:
    # Corsican departments are written 2A and 2B and counted as 19 and 18.
    number = digits[:13].replace("2A", "19").replace("2B", "18")
    return number.isdigit() and 97 - int(number) % 97 == int(digits[13:])


def _spanish_dni(text: str) -> bool:
    number = text[:-1].translate(str.maketrans("XYZ", "012"))
    return "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23] == text[-1]


_ODD = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21,
         2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23),
        strict=True,
    )
)  # fmt: skip


def _italian_fiscal_code(text: str) -> bool:
    """Odd places by the ministry's table, even ones by their place in the alphabet."""
    odd = sum(_ODD[letter] for letter in text[:15:2])
    even = sum(int(letter) if letter.isdigit() else ord(letter) - 65 for letter in text[1:15:2])
    return chr(65 + (odd + even) % 26) == text[15]


def _brazilian_cpf(digits: str) -> bool:
    if len(set(digits)) == 1:
        return False
    for n in (9, 10):
        total = sum(int(digit) * (n + 1 - at) for at, digit in enumerate(digits[:n]))
        if int(digits[n]) != total * 10 % 11 % 10:
            return False
    return True


def _chinese_id(text: str) -> bool:
    """Eighteen characters: place, date of birth, serial, ISO 7064 check."""
    weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]
    total = sum(weight * int(digit) for weight, digit in zip(weights, text[:17], strict=True))
    return "10X98765432"[total % 11] == text[17].upper()


_VERHOEFF = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 2, 3, 4, 0, 6, 7, 8, 9, 5],
    [2, 3, 4, 0, 1, 7, 8, 9, 5, 6], [3, 4, 0, 1, 2, 8, 9, 5, 6, 7],
    [4, 0, 1, 2, 3, 9, 5, 6, 7, 8], [5, 9, 8, 7, 6, 0, 4, 3, 2, 1],
    [6, 5, 9, 8, 7, 1, 0, 4, 3, 2], [7, 6, 5, 9, 8, 2, 1, 0, 4, 3],
    [8, 7, 6, 5, 9, 3, 2, 1, 0, 4], [9, 8, 7, 6, 5, 4, 3, 2, 1, 0],
]  # fmt: skip
_SHIFT = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]


def _indian_aadhaar(digits: str) -> bool:
    check = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit)
        for _ in range(place % 8):
            value = _SHIFT[value]
        check = _VERHOEFF[check][value]
    return check == 0


_KINDS: tuple[tuple[str, re.Pattern[str], Callable[[str], bool]], ...] = (
    (
        "US social security",
        re.compile(r"(?<![\w.-])\d{3}-\d{2}-\d{4}(?![\w-])"),
        _us_social_security,
    ),
    (
        "French INSEE",
        re.compile(
            r"(?<![\w.,-])[12] ?\d\d ?(?:0[1-9]|1[0-2]|[2-9]\d) ?(?:\d\d|2[AB])"
            r" ?\d{3} ?\d{3} ?\d\d(?!\w)"
        ),
        _french_insee,
    ),
    (
        "Spanish DNI",
        re.compile(r"(?<![\w.-])(?:\d{8}|[XYZ]-?\d{7})-?[A-HJ-NP-TV-Z](?![\w-])"),
        _spanish_dni,
    ),
    (
        "Italian codice fiscale",
        re.compile(r"(?<!\w)[A-Z]{6}\d\d[A-EHLMPRST]\d\d[A-Z]\d{3}[A-Z](?!\w)"),
        _italian_fiscal_code,
    ),
    (
        "Brazilian CPF",
        re.compile(r"(?<![\w.])\d{3}\.\d{3}\.\d{3}-\d\d(?!\w)"),
        _brazilian_cpf,
    ),
    (
        "Chinese resident id",
        re.compile(
            r"(?<!\w)[1-8]\d{5}(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[\dXx](?!\w)"
        ),
        _chinese_id,
    ),
    (
        "Indian Aadhaar",
        re.compile(r"(?<![\w.,-])(?<!\d )[2-9]\d{3}([ -])\d{4}\1\d{4}(?![\w-]| \d)"),
        _indian_aadhaar,
    ),
)
