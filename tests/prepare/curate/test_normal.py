"""What counts as the same text, and what does not."""

import unicodedata

from hypothesis import given, settings
from hypothesis import strategies as st

from modiste.prepare.curate.normal import digest, folded, normal, parted, said, words
from modiste.types import Example, Message, Role, SampleType, ToolCall


def test_case_blanks_and_line_ends_do_not_count() -> None:
    assert normal("  The  Cat\r\nsat\ton the Mat ") == normal("the cat sat on the mat")


def test_invisible_characters_do_not_count() -> None:
    assert normal("pass\u200bword\ufeff \u00adsoft\u2060") == "password soft"


def test_compatibility_forms_do_not_count() -> None:
    assert normal("ﬁne ＡＢＣ １２ Straße") == normal("fine abc 12 STRASSE")
    assert normal("e\u0301") == normal("é")


def test_every_kind_of_white_space_is_a_blank() -> None:
    odd = "\u00a0\u1680\u2003\u2028\u2029\u202f\u3000\u0085\x1f\x0b\x0c"
    assert {normal(f"a{space}b") for space in odd} == {"a b"}


def test_punctuation_counts_because_operators_are_punctuation() -> None:
    assert normal("a > b") != normal("a < b")


def test_digits_are_levelled_only_on_request() -> None:
    assert normal("in 1984") == "in 1984"
    assert normal("in 1984", digits=True) == normal("in 2026", digits=True)


def test_letters_of_scripts_without_blanks_are_words_of_their_own() -> None:
    assert parted("我爱你 ok").split() == ["我", "爱", "你", "ok"]
    assert parted("plain words") == "plain words"


def test_words_are_letters_and_digits_only() -> None:
    assert words('WHERE t1.year_of >= "2004-05";').split() == [
        *("where", "t1", "year", "of", "2004", "05")
    ]
    assert words("Qu'est-ce? 我爱").split() == ["qu", "est", "ce", "我", "爱"]


@settings(max_examples=300)
@given(st.text())
def test_normal_text_is_its_own_normal_form(text: str) -> None:
    assert normal(normal(text)) == normal(text)


@settings(max_examples=200)
@given(st.text())
def test_composed_and_decomposed_forms_are_the_same(text: str) -> None:
    assert normal(unicodedata.normalize("NFD", text)) == normal(unicodedata.normalize("NFC", text))


@settings(max_examples=200)
@given(st.text(alphabet=st.characters(max_codepoint=127)))
def test_plain_ascii_comes_out_as_the_long_way_would_make_it(text: str) -> None:
    assert folded(text) == unicodedata.normalize("NFKC", text).casefold()
    assert words(text).split() == words(f"{text} é").split()[:-1]


def test_digests_know_where_one_text_ends() -> None:
    assert digest("ab", "c") != digest("a", "bc")
    assert digest("\ud800") != digest("")


def chat(*messages: Message) -> Example:
    return Example(1, SampleType.INSTRUCT, messages)


def test_a_chat_asks_what_is_not_the_assistant_s_and_system_prompts_are_left_out() -> None:
    example = chat(
        Message(Role.SYSTEM, "Be kind."),
        Message(Role.USER, "Weather?"),
        Message(Role.ASSISTANT, tool_calls=(ToolCall("1", "look", '{"at": "sky"}'),)),
        Message(Role.TOOL, "blue", tool_call_id="1"),
        Message(Role.ASSISTANT, "Fine."),
    )
    assert said(example) == ("Weather?\nblue", 'look {"at": "sky"}\nFine.')
    assert said(example, system=True).asked.startswith("Be kind.")


def test_labels_and_preferred_answers_are_answers() -> None:
    labelled = Example(1, SampleType.CLASSIFIER, text="hi", labels={"b": ("x", "y"), "a": ("z",)})
    assert said(labelled) == ("hi", "a: z\nb: x, y")
    pair = Example(
        1,
        SampleType.PREFERENCE,
        (Message(Role.USER, "hi"),),
        chosen=(Message(Role.ASSISTANT, "hello"),),
        rejected=(Message(Role.ASSISTANT, "go away"),),
    )
    assert said(pair) == ("hi", "hello\ngo away")
