"""Figures of classes and quantiles: the same as on one run, and the difference between two."""

from __future__ import annotations

import numpy as np
import pytest

from modiste.errors import InvalidInput
from modiste.evaluate.figures import OF_ALL, OF_ONE, Answers, class_difference, quantile_difference
from modiste.evaluate.stats import confusion


def drawn(seed: int, n: int, classes: int, right: float) -> list[Answers]:
    rng = np.random.default_rng(seed)
    truth = np.random.default_rng(99).integers(0, classes, n)
    other = rng.integers(-1, classes, n)
    said = np.where(rng.random(n) < right, truth, other)
    return [
        Answers(at, (int(t),), (int(s),) if s >= 0 else ())
        for at, (t, s) in enumerate(zip(truth, said, strict=True))
    ]


def table(answers: list[Answers], classes: int) -> np.ndarray:
    counts = np.zeros((classes, classes + 1))
    for _, (truth,), said, _ in answers:
        counts[truth, said[0] if said else classes] += 1
    return counts


@pytest.mark.parametrize("name", sorted({*OF_ALL, *OF_ONE}))
def test_a_figure_of_two_runs_is_the_figure_of_each(name: str) -> None:
    """Against the definitions on the whole table, which have their own reference values."""
    a, b = drawn(1, 400, 4, 0.5), drawn(2, 400, 4, 0.8)
    of = 1 if name in OF_ONE else None
    found = class_difference(name, a, b, n_classes=4, of=of, clusters=None)
    for answers, told in ((a, found.baseline), (b, found.candidate)):
        assert told == pytest.approx(float(of_table(name, table(answers, 4))))
    assert found.estimate.value == pytest.approx(found.candidate - found.baseline)
    assert found.estimate.ci.lo < found.estimate.value < found.estimate.ci.hi


def of_table(name: str, counts: np.ndarray) -> float:
    hits, truth, said = np.diagonal(counts), counts.sum(1), counts[:, :-1].sum(0)
    f1 = 2 * hits / (truth + said)
    if name == "mcc":
        return float(confusion.mcc(confusion.sums_of(counts)))
    if name == "balanced_accuracy":
        return float(confusion.balanced_accuracy(confusion.sums_of(counts)))
    return float(
        {
            "f1": f1[1],
            "precision": hits[1] / said[1],
            "recall": hits[1] / truth[1],
            "macro_f1": f1.mean(),
            "weighted_f1": (f1 * truth).sum() / truth.sum(),
            "micro_f1": 2 * hits.sum() / (truth.sum() + said.sum()),
        }[name]
    )


def test_the_interval_of_paired_answers_is_that_of_drawing_the_items_themselves() -> None:
    """500 plain draws of items stand for the fast ones; both standard errors are good to ~3 %."""
    a, b = drawn(1, 300, 3, 0.6), drawn(2, 300, 3, 0.7)
    found = class_difference("macro_f1", a, b, n_classes=3, clusters=None)
    rng = np.random.default_rng(5)
    plain = []
    for _ in range(500):
        picks = rng.integers(0, 300, 300)
        sides = [table([side[at] for at in picks], 3) for side in (a, b)]
        plain.append(of_table("macro_f1", sides[1]) - of_table("macro_f1", sides[0]))
    assert found.estimate.se == pytest.approx(float(np.std(plain, ddof=1)), rel=0.15)


def test_whole_clusters_are_drawn_where_items_share_a_source() -> None:
    a, b = drawn(1, 200, 3, 0.6), drawn(2, 200, 3, 0.7)
    same = [Answers(at + 200 * copy, *said) for copy in range(4) for at, *said in a]
    other = [Answers(at + 200 * copy, *said) for copy in range(4) for at, *said in b]
    alone = class_difference("macro_f1", a, b, n_classes=3, clusters=None)
    clusters = np.tile(np.arange(200), 4)
    together = class_difference("macro_f1", same, other, n_classes=3, clusters=clusters)
    naive = class_difference("macro_f1", same, other, n_classes=3, clusters=None)
    assert together.estimate.n_clusters == 200
    assert together.estimate.se == pytest.approx(alone.estimate.se, rel=0.1)
    assert naive.estimate.se == pytest.approx(alone.estimate.se / 2, rel=0.1)


def test_a_figure_that_is_undefined_is_refused() -> None:
    nothing = [Answers(at, (0,), (0,)) for at in range(10)]
    with pytest.raises(InvalidInput, match="undefined"):
        class_difference("recall", nothing, nothing, n_classes=2, of=1, clusters=None)


def test_a_quantile_has_its_difference_and_interval() -> None:
    rng = np.random.default_rng(0)
    a = rng.exponential(1.0, 800)
    found = quantile_difference(0.95, a, a * 0.5, clusters=None)
    assert found.candidate == pytest.approx(float(np.quantile(a, 0.95)) / 2)
    assert found.estimate.ci.hi < 0
    by_source = quantile_difference(0.95, a, a * 0.5, clusters=np.arange(800) // 4)
    assert by_source.estimate.n_clusters == 200


def test_a_class_that_all_items_agree_on_is_decided_with_the_doubt_of_its_items() -> None:
    n = 100
    wrong = [Answers(at, (0,), (1,)) for at in range(n)]
    right = [Answers(at, (0,), (0,)) for at in range(n)]
    found = class_difference("recall", wrong, right, n_classes=2, of=0, clusters=None)
    # Clopper–Pearson for 0 of 100: 3.62 % of a population may still differ, by up to 2 each.
    assert found.estimate.ci.lo == pytest.approx(1 - 2 * 0.03622, abs=1e-4)
    assert (found.estimate.value, found.estimate.ci.hi) == (1.0, 1.0)
    assert found.estimate.se > 0
