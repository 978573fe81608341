"""The words and letters that tell languages."""

from modiste.prepare.inspect.function_words import ENGLISH_ONLY, LETTERS, NAMES, WORDS


def test_every_language_that_can_be_told_has_a_name() -> None:
    told = {
        language for languages in (*WORDS.values(), *LETTERS.values()) for language in languages
    }
    assert told <= set(NAMES)


def test_every_language_has_words_of_its_own() -> None:
    own = {languages[0] for languages in WORDS.values() if len(languages) == 1}
    assert own >= {language for languages in WORDS.values() for language in languages}


def test_words_are_single_lower_case_words() -> None:
    assert all(word == word.lower() and len(word.split()) == 1 for word in WORDS)
    assert "the" in ENGLISH_ONLY
