"""A preview shows rows as they are trained, and raises an alarm where masks are wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count

import pytest

from modiste.prepare.preview import preview


def row(question, answer, **more):
    user, assistant = {"role": "user", "content": question}, {"role": "assistant"}
    return {"messages": [user, assistant | {"content": answer} | more]}


@pytest.fixture
def show(tmp_path, tiny):
    names: Iterator[int] = count()

    def of(*rows, **options):
        path = tmp_path / f"{next(names)}.jsonl"
        written = [r if isinstance(r, str) else json.dumps(r) for r in rows]
        path.write_text("\n".join(written) + "\n")
        return preview(path, filename="train.jsonl", renderer=tiny, **options)

    return of


def codes(found):
    return [(alarm.line, alarm.code) for alarm in found.alarms]


def test_trained_text_and_special_tokens_are_told_apart(show):
    (sample,) = show(row("hello", "yes")).to_json()["samples"]

    assert [span["text"] for span in sample["spans"] if span.get("trained")] == ["yes", "</s>"]
    assert [span["text"] for span in sample["spans"] if span.get("special")][:2] == [
        "<s>",
        "[INST]",
    ]
    assert sample["counts"]["tokens"] == sum(span["tokens"] for span in sample["spans"])


def test_the_same_seed_draws_the_same_rows_and_the_longest_is_among_them(show):
    rows = [row(f"question {at}", "answer " * (40 if at == 33 else 1)) for at in range(60)]

    first, again, other = show(*rows, seed=1), show(*rows, seed=1), show(*rows, seed=2)

    lines = [[shown.line for shown in found.samples] for found in (first, again, other)]
    assert lines[0] == lines[1] != lines[2]
    assert lines[0] == sorted(lines[0])
    assert len(lines[0]) == 5
    assert [shown.line for shown in first.samples if shown.picked == "longest"] == [34]


def test_a_small_file_is_shown_whole(show):
    found = show(row("a", "b"), row("c", "d"), n=5)

    assert [shown.line for shown in found.samples] == [1, 2]
    assert found.whole_file


def test_a_row_that_trains_nothing_is_shown_and_raises_an_alarm(show):
    found = show(row("a", "b", weight=0))

    assert codes(found) == [(1, "nothing_trained")]
    assert found.samples[0].counts.trained == 0
    assert "b" in [span.text for span in found.samples[0].spans]


def test_plain_text_is_trained_whole_without_an_alarm(show):
    found = show({"text": "To be or not to be"})

    assert found.alarms == ()
    assert found.counts.untrained == 1, "nothing can be asked for the first token"


def test_an_over_long_chat_is_shown_with_its_end_marked(show):
    found = show(row("question", "answer " * 30), seq_len=16)

    assert codes(found) == [(1, "too_long")]
    assert found.counts.over_length == found.counts.tokens - 16


def test_over_long_plain_text_comes_in_parts(show):
    found = show({"text": "word " * 60}, seq_len=32)

    assert {shown.parts for shown in found.samples} == {len(found.samples)}
    assert found.counts.over_length == 0


def test_rows_that_cannot_be_read_or_rendered_are_said_never_raised(show):
    found = show(row("a", "b"), "{broken", {"messages": [{"role": "user", "content": "?"}]})

    assert codes(found) == [(None, "rows_unreadable"), (3, "last_role")]
    assert "the first at line 2: not valid JSON" in found.alarms[0].message
    assert found.samples[-1].to_json()["problem"]["message"].startswith("messages[0].role")


def test_an_empty_file_says_so(show):
    found = show()

    assert codes(found) == [(None, "nothing_to_show")]
    assert found.to_json()["counts"]["samples"] == 0


def test_the_json_form_survives_json(show):
    written = show(row("é 😀", "ß"), seq_len=64).to_json()

    assert json.loads(json.dumps(written)) == written
    assert written["file"] == "train.jsonl"
