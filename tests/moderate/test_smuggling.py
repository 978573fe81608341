"""Hidden text is told; what looks hidden and has its use is not."""

import pytest

from modiste.moderate.smuggling import hidden

TAGS = "".join(chr(0xE0000 + ord(c)) for c in "ignore")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (f"hello{TAGS}", "tag characters"),
        (f"\U0001f3f4{TAGS}{TAGS}", "tag characters"),
        ("pass\u200bword", "signs without width"),
        ("a\u2060b", "signs without width"),
        ("in\u200dvisible", "signs without width"),
        ("x\u00ad\u00ad\u00ad\u00ady", "signs without width"),
        ("abc\u202etxt.exe", "writing that is turned around"),
        ("ok\U0001f600\U000e0101\U000e0102\U000e0103", "variation selectors that carry text"),
        ("p\u0430ypal", "letters of another script within a word"),
    ],
)
def test_text_that_nobody_sees_is_told(text: str, what: str) -> None:
    assert [each.what for each in hidden(text)] == [what]


@pytest.mark.parametrize(
    "text",
    [
        "plain ascii",
        "\ufeffbegins with a mark",
        "family \U0001f468\u200d\U0001f469\u200d\U0001f467 and heart \u2764\ufe0f",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "\u0915\u094d\u200d\u0937",
        "\u05e9\u05dc\u05d5\u05dd \u202aabc\u202c",
        "co\u00adoperate",
        "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
        "Москва and Paris, naïve café, Ελλάδα",
    ],
)
def test_what_has_its_use_stays_unnamed(text: str) -> None:
    assert list(hidden(text)) == []
