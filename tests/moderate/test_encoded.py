"""Texts within texts."""

import base64

import pytest

from modiste.moderate.encoded import encoded

SAID = "Buy at Globex"


@pytest.mark.parametrize(
    ("how", "word"),
    [
        ("base64", base64.b64encode(SAID.encode()).decode()),
        ("base64", base64.urlsafe_b64encode(SAID.encode()).decode().rstrip("=")),
        ("hex", SAID.encode().hex()),
        ("hex", SAID.encode().hex(" ")),
        ("hex", "".join(f"\\x{each:02x}" for each in SAID.encode())),
        ("percent signs", "Buy%20at%20Globex"),
        ("entities", "Buy&#32;at&#32;Globex"),
    ],
)
def test_what_is_encoded_is_read_where_it_stands(how: str, word: str) -> None:
    text = f"Read this: {word} now"
    found = [each for each in encoded(text) if each.how == how]
    assert [each.text.strip() for each in found] == [SAID]
    assert text[slice(*found[0].span)].strip() == word


def test_ordinary_words_and_numbers_are_no_texts() -> None:
    text = (
        "Internationalisation of 20241130 and deadbeef, 50% off & more; see /usr/share/dict/words"
    )
    assert list(encoded(text)) == []
