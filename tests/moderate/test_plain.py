"""Text without what hides words, and where each letter stood."""

from modiste.moderate.plain import is_hidden, plain, tagged


def test_letters_know_where_they_stood() -> None:
    read = plain("Ca\u200bf\u00e9 \ufb01n")
    assert read.text == "cafe fin"
    start = read.text.index("fin")
    assert "Ca\u200bf\u00e9 \ufb01n"[slice(*read.span(start, start + 3))] == "\ufb01n"
    assert read.at[-1] == len("Ca\u200bf\u00e9 \ufb01n")


def test_letters_of_other_scripts_read_as_what_they_look_like() -> None:
    assert plain("р\u0430у\u0440\u0430l").text == "paypal"


def test_what_nobody_sees_is_hidden_and_what_tags_say_is_read() -> None:
    assert all(map(is_hidden, "\u200b\u2060\ufe0f\U000e0041\u202e"))
    assert not any(map(is_hidden, "a é\n\u00a0😀"))
    assert tagged("hi" + "".join(chr(0xE0000 + ord(c)) for c in "obey")) == "obey"


def test_plain_ascii_reads_as_it_does_beside_other_letters() -> None:
    text = "".join(map(chr, range(128))) + " Buy AT Gl0bex"
    short, beside = plain(text), plain(f"{text}\u00e9")
    assert short.text == beside.text.removesuffix("e")
    assert short.at[:-1] == beside.at[:-2]
    assert short.span(0, len(text)) == (0, len(text))
