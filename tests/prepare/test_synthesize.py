from __future__ import annotations

import hashlib
import json
import re
from collections import Counter

import pytest

from modiste.errors import InvalidInput
from modiste.prepare.checks.file import check_file
from modiste.prepare.support_phrases import TOPICS
from modiste.prepare.synthesize import DEPARTMENTS, QUESTION, SENTENCES, support_routing, to_jsonl


@pytest.fixture(scope="module")
def routing():
    return support_routing(600, 120, 120, seed=7)


def asked(rows):
    return [row["messages"][0]["content"] for row in rows]


def test_the_same_seed_makes_the_same_bytes_everywhere(routing):
    again = support_routing(600, 120, 120, seed=7)

    assert again == routing
    assert support_routing(600, 120, 120, seed=8) != routing
    # Of the first run; Python keeps the sequences of random.Random for a seed of text.
    digest = hashlib.sha256(to_jsonl(support_routing(60, 6, 6, seed=0).train)).hexdigest()
    assert digest[:16] == "c5218a80838932b2"


def test_a_part_does_not_depend_on_the_size_of_the_others(routing):
    assert support_routing(0, 0, 120, seed=7).heldout == routing.heldout


def test_every_department_is_asked_for_equally_often(routing):
    for rows in routing:
        counts = Counter(row["messages"][1]["content"] for row in rows)
        assert set(counts.values()) == {len(rows) // 6}
        assert set(counts) == set(DEPARTMENTS)


def test_no_message_occurs_twice_in_or_across_parts(routing):
    messages = [text for rows in routing for text in asked(rows)]

    assert len(set(messages)) == len(messages)


def sentences(*places: int) -> re.Pattern[str]:
    """Matches a message with a sentence of these places, slots filled with anything short."""
    patterns = [
        re.sub(r"\\\{\w+\\\}", r"[\\w. ]{1,20}", re.escape(topic[place]))
        for topics in TOPICS.values()
        for topic in topics
        for place in places
    ]
    return re.compile("|".join(patterns), re.IGNORECASE)


@pytest.mark.parametrize(
    ("part", "own"), [("train", (0, 1, 2, 3)), ("validation", (4,)), ("heldout", (5,))]
)
def test_each_part_has_sentences_of_its_own(routing, part, own):
    others = sentences(*({0, 1, 2, 3, 4, 5} - set(own)))
    ours = sentences(*own)

    for text in asked(getattr(routing, part)):
        assert ours.search(text), text
        assert not others.search(text), text


@pytest.mark.parametrize(("part", "place"), [("validation", 4), ("heldout", 5)])
def test_as_many_unseen_rows_as_sentences_are_independent_questions(part, place):
    rows = getattr(support_routing(0, SENTENCES, SENTENCES, seed=7), part)
    texts = asked(rows)
    patterns = [
        re.compile(re.sub(r"\\\{\w+\\\}", r"[\\w. ]{1,20}", re.escape(topic[place])), re.IGNORECASE)
        for topics in TOPICS.values()
        for topic in topics
    ]

    assert [sum(bool(p.search(text)) for text in texts) for p in patterns] == [1] * SENTENCES


def test_a_department_has_six_topics_with_six_different_sentences():
    assert sorted(TOPICS) == ["account", "billing", "returns", "sales", "shipping", "technical"]
    sentences = [s for topics in TOPICS.values() for topic in topics for s in topic]
    assert len(sentences) == len(set(sentences)) == 6 * 6 * 6


def test_the_question_names_every_department_and_the_answer_is_one_of_them(routing):
    assert all(department in QUESTION for department in DEPARTMENTS)
    assert all(text.endswith(QUESTION) for text in asked(routing.train))


def test_the_rows_are_good_training_rows(routing, tmp_path, tiny):
    path = tmp_path / "train.jsonl"
    path.write_bytes(to_jsonl(routing.train))

    report = check_file(path, filename="train.jsonl", renderer=tiny, seq_len=256)

    # Rows made from templates come close to each other; nothing else is to be said about them.
    assert {problem.code for problem in report.problems} <= {"near_repeated"}
    assert report.errors == ()
    assert (report.n_examples, report.n_samples) == (600, 600)


def test_no_slot_is_left_open(routing):
    assert not any("{" in text or "}" in text for rows in routing for text in asked(rows))


def test_more_rows_than_there_are_messages_are_refused():
    with pytest.raises(InvalidInput, match="different heldout messages; ask for fewer rows"):
        support_routing(0, 0, 50_000, seed=1)


def test_rows_are_written_as_json_lines(routing):
    lines = to_jsonl(routing.validation).splitlines()

    assert [json.loads(line) for line in lines] == list(routing.validation)
