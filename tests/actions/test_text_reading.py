"""Which tokens are told with which text, where they stand and what they are called."""

from __future__ import annotations

from pathlib import Path

import modiste
from modiste.actions.text_reading import Said, TextReading, echoed, shown, token_text
from modiste.prepare import render
from modiste.serve.sequence import Logprob

RENDERER = render.load(Path(modiste.__file__).parent / "bases" / "tiny")


def read(text: str, stop: tuple[str, ...] = (), *, offset: int = 0) -> list[Said]:
    """Up to a stop string, or to the end of the text."""
    reading = TextReading(RENDERER, stop=stop, offset=offset)
    said = []
    for token in RENDERER.encode(text):
        said.append(reading.push(token, Logprob(-1.0)))
        if said[-1].stopped:
            return said
    return [*said, reading.end(2, Logprob(-2.0))]


def test_every_token_is_told_once_and_begins_where_it_says() -> None:
    text = "naïve 🙂 text, and more."
    tokens = [token for said in read(text, offset=5) for token in said.tokens]
    assert "".join(said.text for said in read(text)) == text
    assert len(tokens) == len(RENDERER.encode(text)) + 1
    assert (tokens[-1].text, tokens[-1].offset, tokens[-1].logprob) == ("</s>", 5 + len(text), -2.0)
    for token in tokens[:-1]:
        if not token.text.startswith("bytes:"):
            assert text[token.offset - 5 :].startswith(token.text)


def test_a_stop_string_takes_its_tokens_along() -> None:
    said = read("one two three four", (" three",))
    tokens = [token for each in said for token in each.tokens]
    assert said[-1].stopped
    assert "".join(each.text for each in said) == "one two"
    assert "".join(token.text for token in tokens) == "one two"


def test_what_might_become_a_stop_string_is_told_when_it_did_not() -> None:
    said = read("one two thr", (" three",))
    assert "".join(each.text for each in said) == "one two thr"
    assert sum(len(each.tokens) for each in said) == len(RENDERER.encode("one two thr")) + 1
    before = said[:-1]
    shown_text = "".join(each.text for each in before)
    shown_tokens = "".join(token.text for each in before for token in each.tokens)
    assert shown_text.startswith(shown_tokens)


def test_the_first_token_of_a_prompt_follows_nothing() -> None:
    ids = [1, *RENDERER.encode("ab cd")]
    told = echoed(RENDERER, ids, [Logprob(-1.0)] * (len(ids) - 1))
    assert (told[0].text, told[0].offset, told[0].logprob) == ("<s>", 0, None)
    assert {token.logprob for token in told[1:]} == {-1.0}
    assert "".join(token.text for token in told[1:]) == "ab cd"


def test_tokens_of_one_spelling_show_the_likelier() -> None:
    a, b = RENDERER.encode("a")[0], RENDERER.encode("b")[0]
    top = ((a, -0.1), (b, -2.0), (a, -3.0))
    assert shown(RENDERER, b, 0, Logprob(-2.0, top)).top == (("a", -0.1), ("b", -2.0))
    assert shown(RENDERER, b, 0, Logprob(-2.0)).top == (("b", -2.0),)


def test_every_token_has_a_name() -> None:
    assert token_text(RENDERER, 3) == "[INST]"
    assert token_text(RENDERER, RENDERER.encode("x")[0]) == "x"
    first, *_ = RENDERER.encode("🙂")
    assert token_text(RENDERER, first).startswith("bytes:\\xf0")
    assert token_text(RENDERER, RENDERER.vocab_size) == ""
