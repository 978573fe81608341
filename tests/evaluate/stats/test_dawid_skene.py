"""Truth from annotators who are not equally good."""

import random

import numpy as np
import pytest

from modiste.errors import InvalidInput
from modiste.evaluate.stats.dawid_skene import dawid_skene

GOOD, BAD = 0.95, 0.4
SKILLS = (GOOD, GOOD, BAD, BAD, BAD)


def crowd(n: int, seed: int = 0) -> tuple[list[tuple[int, str, str]], list[str]]:
    """Two that know and three that mostly say the other of two labels."""
    rng = np.random.default_rng(seed)
    truth = ["yes" if x else "no" for x in rng.uniform(size=n) < 0.3]
    other = {"yes": "no", "no": "yes"}
    answers = [
        (item, f"worker {at}", right if rng.uniform() < skill else other[right])
        for item, right in enumerate(truth)
        for at, skill in enumerate(SKILLS)
    ]
    return answers, truth


def test_those_who_know_outvote_those_who_do_not() -> None:
    """On 1,000 items; a majority of these five is right on 76 %, the best of them on 95 %."""
    answers, truth = crowd(1_000)
    found = dawid_skene(answers, iters=50)
    decided = found.decided()
    right = np.mean([decided[item] == label for item, label in enumerate(truth)])
    votes = [[label for i, _, label in answers[5 * at : 5 * at + 5]] for at in range(1_000)]
    majority = np.mean([max(set(v), key=v.count) == t for v, t in zip(votes, truth, strict=True)])
    assert majority < 0.8
    assert right > 0.93


def test_annotators_are_known_by_their_mistakes() -> None:
    """Of 300 items with the rarer label the share that is right has an error of .03: 5 of them."""
    found = dawid_skene(crowd(1_000)[0], tol=1e-6)
    assert found.converged
    for at, skill in enumerate(SKILLS):
        assert np.diag(found.confusion[at]) == pytest.approx([skill, skill], abs=0.15)
    yes = found.labels.index("yes")
    assert found.prior[yes] == pytest.approx(0.3, abs=0.06)
    assert found.confusion.sum(axis=2) == pytest.approx(np.ones((5, 2)))
    assert found.posteriors.sum(axis=1) == pytest.approx(np.ones(1_000))


def test_names_and_order_of_annotators_do_not_matter() -> None:
    answers, _ = crowd(60)
    renamed = [(item, f"x{who}", label) for item, who, label in answers]
    random.Random(0).shuffle(renamed)
    one, other = dawid_skene(answers), dawid_skene(renamed)
    place = {item: at for at, item in enumerate(other.items)}
    column = [other.labels.index(label) for label in one.labels]
    moved = other.posteriors[[place[item] for item in one.items]][:, column]
    assert moved == pytest.approx(one.posteriors, abs=1e-9)


def test_one_step_by_hand() -> None:
    """Two say a, one says b, all taken as right in 70 %: odds (7/3)² : (7/3) = 7 : 3 for a."""
    found = dawid_skene([(0, 1, "a"), (0, 2, "a"), (0, 3, "b")], iters=1)
    assert found.posteriors[0] == pytest.approx([0.7, 0.3])
    assert found.decided() == {0: "a"}
    assert found.iterations == 1


def test_items_of_a_single_answer_are_as_sure_as_their_annotator() -> None:
    answers, _ = crowd(300)
    found = dawid_skene([*answers, ("extra", "worker 0", "yes")], iters=50)
    assert found.posteriors[-1][found.labels.index("yes")] == pytest.approx(0.9, abs=0.09)


def test_nothing_to_decide_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no answer"):
        dawid_skene([])
    with pytest.raises(InvalidInput, match="every answer is 'a'"):
        dawid_skene([(0, 0, "a")])
