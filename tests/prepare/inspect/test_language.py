"""Languages of texts, and of a file's questions and answers."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modiste.prepare.inspect.language import Languages, language_of, names_a_language
from modiste.prepare.inspect.remark import passages
from modiste.types import Example, Message, Role, SampleType

ENGLISH = "How can I find out which of the trains will be the first to arrive?"
FRENCH = "Comment savoir lequel des trains est le premier qui arrive dans la gare ?"
GERMAN = "Wie kann ich wissen, welcher der Züge als erster in den Bahnhof kommt und wann?"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (ENGLISH, "en"),
        (FRENCH, "fr"),
        (GERMAN, "de"),
        ("¿Cómo puedo saber cuál de los trenes es el primero que llega a la estación?", "es"),
        ("Come posso sapere quale dei treni è il primo che arriva alla stazione?", "it"),
        ("Como posso saber qual dos trens é o primeiro que chega à estação?", "pt"),
        ("Hoe kan ik weten welke van de treinen als eerste op het station aankomt?", "nl"),
        ("Hur kan jag veta vilket av tågen som kommer först till stationen och när?", "sv"),
        ("Skąd mam wiedzieć, który z pociągów jest pierwszy na stacji i czy nie jest?", "pl"),
        ("Как узнать, какой из поездов придёт на станцию первым?", "ru"),
        ("Як дізнатися, який із поїздів прибуде першим?", "uk"),
        ("如何知道哪列火车最先到达？", "zh"),
        ("どの電車が最初に到着しますか。", "ja"),
        ("어느 기차가 먼저 도착합니까?", "ko"),
        ("كيف أعرف أي القطارات سيصل أولا؟", "ar"),
        ("Πώς μπορώ να μάθω ποιο τρένο φτάνει πρώτο;", "el"),
        ("कौन सी ट्रेन पहले आएगी?", "hi"),
    ],
)
def test_a_sentence_tells_its_language(text: str, language: str) -> None:
    assert language_of(text) == language


@pytest.mark.parametrize(
    "text",
    ["", "positive", "SELECT count(*) FROM head WHERE age > 56", "def f(x): return x + 1", "1234"],
)
def test_names_numbers_and_code_have_no_language(text: str) -> None:
    assert language_of(text) is None


@given(st.text(max_size=400))
def test_any_text_is_judged_without_a_traceback(text: str) -> None:
    assert language_of(text) is None or len(language_of(text) or "") == 2


def test_articles_of_european_law_are_told_right(data_file: Callable[[str], Path]) -> None:
    with gzip.open(data_file("d_eu_law_en_fr/train.jsonl.gz"), "rt") as lines:
        rows = [json.loads(line) for line in lines]
    told = [language_of(row["fr"]) for row in rows if len(row["fr"]) > 100]
    assert {*told} == {"fr", None}
    assert told.count("fr") >= 0.95 * len(told)
    # 53 rows of the set hold the French text in the English field as well.
    told = [
        language_of(row["en"]) for row in rows if len(row["en"]) > 100 and row["en"] != row["fr"]
    ]
    assert told.count("en") >= 0.95 * len(told)


def languages(pairs: list[tuple[str, str]]) -> Languages:
    found = Languages()
    for line, (question, answer) in enumerate(pairs, start=1):
        messages = (Message(Role.USER, question), Message(Role.ASSISTANT, answer))
        row = Example(line, SampleType.INSTRUCT, messages)
        found.add(row, passages(row))
    return found


def test_a_rare_answer_in_another_language_is_remarked() -> None:
    (remark,) = languages([(ENGLISH, ENGLISH)] * 40 + [(ENGLISH, GERMAN)]).remarks()
    assert remark.code == "language_mismatch"
    assert remark.line == 41
    assert remark.message == "1 row is asked in English and answered in German: line 41"


def test_a_translation_file_is_meant() -> None:
    assert list(languages([(ENGLISH, FRENCH)] * 40).remarks()) == []


def test_a_row_left_untranslated_in_a_translation_file_is_remarked() -> None:
    (remark,) = languages([(ENGLISH, FRENCH)] * 40 + [(FRENCH, FRENCH)]).remarks()
    assert remark.code == "language_minority"
    assert (
        "in one language, the rest go from English to French: French 1 (line 41)" in remark.message
    )


def test_a_question_that_asks_for_another_language_gets_it() -> None:
    asked = f"Translate into German: {ENGLISH}"
    assert list(languages([(ENGLISH, ENGLISH)] * 40 + [(asked, GERMAN)]).remarks()) == []
    assert names_a_language("Bitte übersetze das.")
    assert not names_a_language(ENGLISH)


def test_a_few_rows_in_another_language_than_the_rest_are_remarked() -> None:
    (remark,) = languages([(ENGLISH, ENGLISH)] * 60 + [(FRENCH, FRENCH)] * 2).remarks()
    assert remark.code == "language_minority"
    assert "French 2 (lines 61, 62)" in remark.message


def test_a_file_of_many_languages_is_meant() -> None:
    assert list(languages([(ENGLISH, ENGLISH), (FRENCH, FRENCH)] * 20).remarks()) == []


@given(st.lists(st.sampled_from([(ENGLISH, ENGLISH), (ENGLISH, GERMAN), (FRENCH, FRENCH)])),
       st.integers(0, 20))  # fmt: skip
def test_parts_of_a_file_add_up_to_the_whole(pairs: list[tuple[str, str]], at: int) -> None:
    first, later = languages(pairs[:at]), languages(pairs[at:])
    first.merge(later, lines_before=len(pairs[:at]))
    assert first.pairs == languages(pairs).pairs
    assert first.shares() == languages(pairs).shares()


def test_votes_on_the_very_border_count_in_whatever_order_they_are_added() -> None:
    # English 2.9, Croatian 1.6, and 1.5 * 1.6 + 0.5 is 2.9: in fractions it hung on rounding.
    assert language_of("i have a hoe of my u to") == "en"
