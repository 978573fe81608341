"""Runs of a sample add up to the sample, and read as what was rendered."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from modiste.prepare.spans import Counts, counts, spans
from modiste.prepare.turns import Rendered
from modiste.types import Message, Role


def chat(*texts):
    roles = [Role.USER, Role.ASSISTANT]
    return [Message(roles[at % 2], text) for at, text in enumerate(texts)]


def read(runs):
    return [(run.text, run.trained, run.special) for run in runs]


def test_control_tokens_stand_alone_and_answers_are_trained(tiny, example):
    (sample,) = tiny.training_samples(example(*chat("hello [INST]", "yes")))

    assert read(spans(sample, tiny)) == [
        ("<s>", False, True),
        ("[INST]", False, True),
        ("hello [INST]", False, False),
        ("[/INST]", False, True),
        ("yes", True, False),
        ("</s>", True, True),
    ]


def test_what_lies_behind_the_sequence_length_is_marked(tiny, example):
    (sample,) = tiny.training_samples(example(*chat("a question", "an answer")))
    kept = len(sample.ids) - 3

    runs = spans(sample, tiny, seq_len=kept)

    assert sum(run.n_tokens for run in runs if run.over_length) == 3
    assert counts(sample, tiny, seq_len=kept).over_length == 3


def test_a_long_sample_says_how_much_of_its_middle_is_left_out(tiny, example):
    (sample,) = tiny.training_samples(example(*chat("q " * 500, "a " * 500)))

    runs = spans(sample, tiny, most=100)

    (gap,) = [run for run in runs if run.omitted]
    assert gap.n_tokens == len(sample.ids) - 100
    assert gap.trained
    assert sum(run.n_tokens for run in runs) == len(sample.ids)
    assert runs[-1].text == "</s>"


def test_counts_add_up():
    both = Counts(5, 2, 1, 0).plus(Counts(7, 3, 2, 4))

    assert both == Counts(12, 5, 3, 4)
    assert both.to_json()["untrained"] == 7


TEXTS = st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=30), min_size=2)


@settings(max_examples=40, deadline=None)
@given(texts=TEXTS.filter(lambda texts: len(texts) % 2 == 0), cut=st.integers(1, 60))
def test_runs_add_up_to_the_sample_whatever_is_said(tiny, texts, cut):
    ids = tiny.prompt(chat(*texts[:-1]))
    sample = Rendered(ids, [at % 7 < 3 for at in range(len(ids))])

    runs = spans(sample, tiny, seq_len=cut)

    assert sum(run.n_tokens for run in runs) == len(ids)
    assert sum(run.n_tokens for run in runs if run.trained) == sample.n_trained
    assert sum(run.n_tokens for run in runs if run.over_length) == max(0, len(ids) - cut)
    assert "".join(run.text for run in runs if not run.special) == tiny.decode(ids)
