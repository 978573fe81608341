"""Nothing leaves that was not looked at; what is found is found before its first letter left."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from modiste.moderate.window import TAIL, WINDOW, Window


def test_a_window_waits_is_looked_at_and_keeps_its_tail() -> None:
    window = Window()
    window.add("word " * (WINDOW // 5 - 1))
    assert not window.due
    window.add("word wo")
    assert window.due
    assert window.to_look_at(last=False).endswith("word ")
    sent = window.passed(last=False)
    assert len(sent) <= WINDOW + 2 - TAIL
    assert window.to_look_at(last=True) == "word " * (WINDOW // 5) + "wo"
    assert sent + window.passed(last=True) == "word " * (WINDOW // 5) + "wo"
    assert window.empty


def test_nothing_leaves_a_whole_text_before_its_end() -> None:
    window = Window(whole=True)
    window.add("x " * WINDOW)
    assert not window.due


def test_a_find_at_the_cut_waits_until_it_is_whole() -> None:
    window = Window()
    text = "a " * 150 + "SECRET" * 20 + " b" * 70
    window.add(text)
    start = text.index("SECRET")
    first = window.passed([(start, start + 120, "[x]")], last=False)
    assert first == text[:start] if len(text) - TAIL > start else True
    assert "SECRET" not in first
    again = window.to_look_at(last=True)
    start = again.index("SECRET")
    assert window.passed([(start, start + 120, "[x]")], last=True).count("[x]") == 1


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(alphabet="ab X\n", max_size=120), max_size=12))
def test_every_x_is_replaced_and_the_rest_arrives_in_order(pieces: list[str]) -> None:
    """`X` is what must never leave; whatever the pieces, it never does."""
    window, out = Window(), ""

    def look(last: bool) -> str:
        seen = window.to_look_at(last=last)
        return window.passed([(i, i + 1, "#") for i, c in enumerate(seen) if c == "X"], last=last)

    for piece in pieces:
        window.add(piece)
        if window.due:
            out += look(False)
    out += look(True)
    assert out == "".join(pieces).replace("X", "#")
