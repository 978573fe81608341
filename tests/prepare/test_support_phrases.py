"""The words of the example task: enough of them, all different, none that gives the answer away."""

from __future__ import annotations

import re
import string
from itertools import chain

from modiste.prepare.support_phrases import TOPICS
from modiste.prepare.synthesize import DEPARTMENTS


def test_every_department_has_six_topics_of_six_sentences() -> None:
    assert set(TOPICS) == set(DEPARTMENTS)
    assert {len(topics) for topics in TOPICS.values()} == {6}
    assert {len(topic) for topics in TOPICS.values() for topic in topics} == {6}


def test_no_sentence_is_written_twice() -> None:
    sentences = [s for topics in TOPICS.values() for s in chain.from_iterable(topics)]
    assert len({s.lower() for s in sentences}) == len(sentences)


def test_every_slot_is_one_word_in_braces() -> None:
    for sentence in chain.from_iterable(chain.from_iterable(TOPICS.values())):
        names = [name for _, name, _, _ in string.Formatter().parse(sentence) if name is not None]
        assert all(re.fullmatch(r"[a-z_]+", name) for name in names), sentence


def test_no_unseen_sentence_repeats_most_of_a_training_one() -> None:
    """At least one word in ten is new, or remembering would pass for understanding."""
    for topic in chain.from_iterable(TOPICS.values()):
        seen = [set(re.findall(r"\w+", s.lower())) for s in topic[:4]]
        for sentence in topic[4:]:
            words = set(re.findall(r"\w+", sentence.lower()))
            assert max(len(words & other) / len(words) for other in seen) <= 0.9, sentence
