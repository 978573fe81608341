from __future__ import annotations

import json
import random

from hypothesis import given
from hypothesis import strategies as st

from modiste.prepare.checks import repeats as module
from modiste.prepare.checks.repeats import How, Seen, repeats
from modiste.types import Example, Message, Role, SampleType

WORDS = [f"word{n}" for n in range(500)]


def seen(rows: list[tuple[str, str]], *, near: bool = False, first_line: int = 1) -> Seen:
    made = Seen(near=near)
    for line, (q, a) in enumerate(rows, first_line):
        messages = (Message(Role.USER, q), Message(Role.ASSISTANT, a))
        example = Example(line, SampleType.INSTRUCT, messages)
        made.add(line, json.dumps([q, a]).encode(), example)
    return made


def told(*files: Seen):
    return [(r.line, r.of_file, r.of_line, r.how) for r in repeats(files)]


def text(seed: int, n: int = 120) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=n))


def test_each_repeat_names_the_first_of_its_kind():
    q = "a question to ask"
    rows = [(q, "a"), ("x", "y"), (q, "a"), (q.upper() + " ", "a"), (q, "a")]

    assert told(seen(rows)) == [
        (3, 0, 1, How.EXACT),
        (4, 0, 1, How.NORMAL),
        (5, 0, 1, How.EXACT),
    ]


def test_rows_of_files_before_are_named_with_their_file():
    train, more, validation = (
        seen([("a", "b")]),
        seen([("c", "dog " * 5)]),
        seen([("e", "f"), ("C", "dog " * 5)]),
    )

    assert told(train, more, validation) == [(2, 1, 1, How.NORMAL)]


def test_a_short_row_comes_again_only_byte_for_byte():
    assert told(seen([("q", "yes"), ("q", " Yes"), ("q", "yes")])) == [(3, 0, 1, How.EXACT)]


def test_the_same_question_with_another_answer_is_no_repeat():
    assert told(seen([("q", "a"), ("q", "b")])) == []


def test_near_repeats_are_found_with_their_likeness():
    one = text(1)
    rows = [(text(2), "x"), (one, "x"), (text(3), "x"), (one + " more", "x")]

    (found,) = repeats([seen(rows, near=True)])

    assert (found.line, found.of_line, found.how) == (4, 2, How.NEAR)
    assert found.similarity > 0.8


def test_near_repeats_are_found_across_files():
    one = text(1)

    assert told(
        seen([("q", text(9)), ("q", one)], near=True), seen([("q", one + " more")], near=True)
    ) == [(1, 0, 2, How.NEAR)]


@given(st.lists(st.sampled_from("abcdef"), max_size=12), st.integers(0, 12))
def test_parts_joined_are_as_the_whole(answers, cut):
    rows = [("q", a) for a in answers]
    joined = seen(rows[:cut])
    joined.extend(seen(rows[cut:], first_line=len(rows[:cut]) + 1))

    assert told(joined) == told(seen(rows))


def test_what_is_not_compared_is_counted(monkeypatch):
    monkeypatch.setattr(module, "MAX_ROWS", 3)
    rows = [("q", str(n)) for n in range(5)]
    joined = seen(rows[:2])
    joined.extend(seen(rows[2:], first_line=3))

    assert (seen(rows).n_left_out, joined.n_left_out) == (2, 2)
    assert joined.lines == seen(rows).lines
