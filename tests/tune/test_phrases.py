"""The linear layer over tokens and pairs: what it learns, and against its own definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from modiste.nn.phrases import FIRST
from modiste.tune import phrases
from modiste.tune.mixture import Samples
from modiste.types import ClassifierTarget, LossFunction

SINGLE = ClassifierTarget("a", ("x", "y"), LossFunction.SINGLE_CLASS)
MULTI = ClassifierTarget("b", ("u", "v"), LossFunction.MULTI_CLASS)


def order_matters(n: int = 60) -> Samples:
    """5 before 6 is x, 6 before 5 is y: single tokens cannot tell."""
    random = np.random.default_rng(0)
    rows = []
    for at in range(n):
        pair = [5, 6] if at % 2 else [6, 5]
        rows.append(([*random.integers(20, 40, 3), *pair, *random.integers(20, 40, 3)], [at % 2]))
    return Samples.with_labels(rows)


def test_pairs_tell_what_tokens_cannot() -> None:
    learned = phrases.learn([order_matters()], [SINGLE])
    assert learned is not None
    assert {6 * FIRST + 6, 7 * FIRST + 5} <= set(learned.phrases.keys_F.tolist())
    said = learned.logits([np.array([30, 6, 5]), np.array([30, 5, 6])])
    assert said.argmax(1).tolist() == [0, 1]


@pytest.mark.parametrize("target", [SINGLE, MULTI])
def test_it_is_the_logistic_regression_it_says_it_is(target: ClassifierTarget) -> None:
    """At the answer the slope of loss and penalty is nothing: computed here from the definition."""
    random = np.random.default_rng(1)
    rows = [(random.integers(0, 6, 5).tolist(), [int(random.integers(0, 2))]) for _ in range(80)]
    samples = Samples.with_labels(rows)
    learned = phrases.learn([samples], [target])
    assert learned is not None
    W = torch.tensor(learned.phrases.weight_FL.astype(np.float64), requires_grad=True)
    texts = [samples[at].ids for at in range(80)]
    rows_NF = torch.tensor(phrases._rows(texts, learned.phrases.keys_F).toarray()).double()
    logits_NL = rows_NF @ W + torch.tensor(learned.bias_L)
    held_N = torch.tensor([held[0] for _, held in rows])
    if target.single:
        nll_N = -logits_NL.log_softmax(-1)[torch.arange(80), held_N]
        loss = nll_N.sum()
    else:
        truth_NL = torch.eye(2)[held_N]
        yes, no = -logits_NL.sigmoid().log(), -(-logits_NL).sigmoid().log()
        loss = (truth_NL * yes + (1 - truth_NL) * no).sum()
    (loss + (W**2).sum() / (2 * phrases.STRENGTH)).backward()  # type: ignore[no-untyped-call]
    assert W.grad is not None
    assert W.grad.abs().max() < 0.05  # Of 80 rows; half precision moves it that far.


def test_the_same_rows_give_the_same_bits() -> None:
    a, b = (phrases.learn([order_matters()], [SINGLE]) for _ in range(2))
    assert a is not None
    assert b is not None
    assert a.phrases.weight_FL.tobytes() == b.phrases.weight_FL.tobytes()


def test_nothing_is_learned_where_no_phrase_comes_twice() -> None:
    rows = Samples.with_labels([([at], [at % 2]) for at in range(8)])
    assert phrases.learn([rows], [SINGLE]) is None


def test_beyond_the_most_values_the_commonest_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phrases, "MOST_PHRASE_WEIGHTS", 8)
    learned = phrases.learn([order_matters()], [SINGLE])
    assert learned is not None
    assert len(learned.phrases.keys_F) == 4
    assert {5, 6} <= set(learned.phrases.keys_F.tolist())


def test_two_targets_are_learned_as_each_would_be_alone() -> None:
    random = np.random.default_rng(2)
    rows = [(random.integers(0, 6, 5).tolist(), [at % 2, 2 + at % 3 % 2]) for at in range(60)]
    both = phrases.learn([Samples.with_labels(rows)], [SINGLE, MULTI])
    alone = phrases.learn([Samples.with_labels([(ids, held[:1]) for ids, held in rows])], [SINGLE])
    assert both is not None
    assert alone is not None
    apart = np.abs(both.phrases.weight_FL[:, :2] - alone.phrases.weight_FL).max()
    assert apart < 0.02
