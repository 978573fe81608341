"""What is remembered of rows is enough to tell which say the same."""

from collections.abc import Callable
from typing import Any

import pytest

from modiste.errors import InvalidInput
from modiste.prepare.curate.row_marks import Marks, Shingled, read_marks, sides
from modiste.prepare.curate.stage import Corpus
from modiste.types import Example, Message, Role, SampleType

Rows = Callable[..., Corpus]
Chat = Callable[..., dict[str, Any]]


def marks(*corpora: Corpus, **options: Any) -> Marks:
    return read_marks(corpora, **{"system": False, "digits": False, **options})


def test_rows_equal_but_for_case_and_blanks_have_one_mark(corpus: Rows, chat: Chat) -> None:
    found = marks(corpus([chat("Why  me?", "So."), chat("why me?", "SO."), chat("Why me? So.")]))
    assert (found.rows[0] == found.rows[1]).all()
    assert (found.rows[0] != found.rows[2]).any()


def test_places_name_file_line_and_id_across_files(corpus: Rows, chat: Chat) -> None:
    one, two = corpus([chat("a"), chat("b")], "one.jsonl"), corpus([chat("c")], "two.jsonl")
    found = marks(one, two)
    assert [found.place(row)["file"] for row in range(3)] == ["one.jsonl", "one.jsonl", "two.jsonl"]
    assert [found.place(row)["line"] for row in range(3)] == [1, 2, 1]
    assert found.place(2)["id"] == next(iter(two)).id


def test_system_prompts_count_only_on_request(corpus: Rows, chat: Chat) -> None:
    plain, told = chat("hi"), chat("hi")
    told["messages"].insert(0, {"role": "system", "content": "Be kind."})
    rows = corpus([plain, told])
    assert (marks(rows).rows[0] == marks(rows).rows[1]).all()
    assert (marks(rows, system=True).rows[0] != marks(rows, system=True).rows[1]).any()


def test_weights_are_read_from_a_field_and_missing_ones_are_named(corpus: Rows, chat: Chat) -> None:
    rows = corpus([chat("a", score={"mean": 2}), chat("b", score={"mean": 0.5})])
    assert marks(rows, weight="score.mean").weights.tolist() == [2.0, 0.5]
    short = corpus([chat("a", score=1), *(chat(f"b{i}") for i in range(7)), chat("c", score=True)])
    with pytest.raises(InvalidInput, match=r"'score' is not a number in .* line 2, .* and 3 more"):
        marks(short, weight="score")


def test_shingles_are_filled_in_the_same_pass(corpus: Rows, chat: Chat) -> None:
    shingled = Shingled.empty(2)
    found = marks(corpus([chat("a b c", "d e"), chat("f")]), shingled=shingled)
    assert len(found) == len(shingled.rows) == len(shingled.words) == 2
    assert shingled.rows.of(0).size == 3
    assert shingled.words.of(0).size == 5


def preference(chosen: str, rejected: str) -> Example:
    return Example(
        1,
        SampleType.PREFERENCE,
        (Message(Role.USER, "hi"),),
        chosen=(Message(Role.ASSISTANT, chosen),),
        rejected=(Message(Role.ASSISTANT, rejected),),
    )


def test_a_swapped_preference_is_the_same_question_with_another_answer() -> None:
    one, other = (sides(preference(*pair), system=False) for pair in (("yes", "no"), ("no", "yes")))
    assert one.question == other.question
    assert one.answered != other.answered
    third = sides(preference("yes", "perhaps"), system=False)
    assert third.question != one.question
    assert third.asked != one.asked
