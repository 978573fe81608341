"""Stop strings that arrive in pieces."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modiste.actions.stop_strings import StopStrings, Visible


def shown(text: str, stops: list[str], cuts: list[int]) -> tuple[str, bool]:
    """The text let out when it arrives cut at these places, and whether it was stopped."""
    watching, out = StopStrings(stops), ""
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    for start, end in itertools.pairwise(places):
        visible = watching.push(text[start:end])
        out += visible.text
        if visible.stopped:
            return out, True
    return out + watching.flush(), False


@given(
    st.text("ab\n", max_size=20),
    st.lists(st.text("ab\n", min_size=1, max_size=4), max_size=3),
    st.lists(st.integers(0, 20), max_size=20),
)
def test_pieces_show_what_the_whole_text_shows(
    text: str, stops: list[str], cuts: list[int]
) -> None:
    """The text up to the first place where a stop string is complete, wherever it was cut."""
    watching = StopStrings(stops)
    out = ""
    stopped = False
    for character in text:
        visible = watching.push(character)
        out += visible.text
        if visible.stopped:
            stopped = True
            break
    if not stopped:
        out += watching.flush()
    assert not any(stop in out for stop in stops)
    assert text.startswith(out)
    assert stopped == any(stop in text for stop in stops)
    if not stopped:
        assert out == text
        assert shown(text, stops, cuts) == (text, False)
    assert shown(text, stops, cuts)[1] == stopped


def test_what_may_become_a_stop_string_is_held_back() -> None:
    watching = StopStrings(["STOP"])
    assert watching.push("a ST") == Visible("a ", stopped=False)
    assert watching.push("O") == Visible("", stopped=False)
    assert watching.push("x") == Visible("STOx", stopped=False)
    assert watching.push("STOPped") == Visible("", stopped=True)


def test_the_earliest_match_of_a_piece_wins() -> None:
    assert StopStrings(["b", "a"]).push("xxab") == Visible("xx", stopped=True)


def test_the_end_lets_out_what_was_held() -> None:
    watching = StopStrings(["\n\n"])
    assert watching.push("end\n").text == "end"
    assert watching.flush() == "\n"
    assert watching.flush() == ""


@pytest.mark.parametrize("stops", [[], [""]])
def test_without_stop_strings_nothing_is_held(stops: list[str]) -> None:
    assert StopStrings(stops).push("anything") == Visible("anything", stopped=False)
