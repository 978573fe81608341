"""Probabilities that mean something: temperatures, and heads as they are published."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from modiste.nn.class_heads import PublishedHeads
from modiste.nn.heads_file import HeadPooling, HeadsFile
from modiste.tune import phrases
from modiste.tune.class_answers import (
    COLDEST,
    FEWEST_ROWS,
    Heard,
    calibrated,
    heard,
    pooled_of,
    published,
    sure,
    temperature,
)
from modiste.tune.spec import TuneSpec
from modiste.tune.tuned import load
from modiste.types import ClassifierTarget, LossFunction

from .conftest import ONE_THREAD
from .test_classify import classifier_spec, rows_of

SINGLE = ClassifierTarget("a", ("x", "y", "z"), LossFunction.SINGLE_CLASS)
MULTI = ClassifierTarget("a", ("x", "y", "z"), LossFunction.MULTI_CLASS)


@pytest.mark.parametrize("factor", [0.5, 3.0])
@pytest.mark.parametrize("target", [SINGLE, MULTI])
def test_a_temperature_gives_back_the_logits_that_rows_were_drawn_from(
    target: ClassifierTarget, factor: float
) -> None:
    """4,000 rows: the standard error of the temperature is about 2 %; 10 % are five of them."""
    random = np.random.default_rng(3)
    true_NL = random.normal(0, 1.5, (4000, 3))
    if target.single:
        odds = np.exp(true_NL)
        chosen = [random.choice(3, p=row / row.sum()) for row in odds]
        truth_NL = np.eye(3, dtype=bool)[chosen]
    else:
        truth_NL = random.random((4000, 3)) < 1 / (1 + np.exp(-true_NL))
    assert temperature(target, factor * true_NL, truth_NL) == pytest.approx(factor, rel=0.1)


def test_heads_that_are_always_right_do_not_become_infinitely_sure() -> None:
    truth_NL = np.eye(3, dtype=bool)[[0, 1, 2] * 20]
    found = temperature(SINGLE, 10.0 * truth_NL, truth_NL)
    assert found > 2 * COLDEST


def test_few_rows_leave_the_temperature_at_one() -> None:
    spec = classifier_spec()
    logits = torch.zeros(FEWEST_ROWS - 1, 4)
    truth = np.zeros((FEWEST_ROWS - 1, 5), dtype=bool)
    found = calibrated(_heads(spec), None, Heard([], logits, truth))
    assert found.about.temperatures == (1.0, 1.0)
    assert found.phrases is None


def test_the_share_of_phrases_is_what_they_know() -> None:
    """Each side sees half of what the rows were drawn from, or one sees all of it."""
    random = np.random.default_rng(4)
    a_NL, b_NL = random.normal(0, 2, (2, 3000, 3))
    odds = np.exp(a_NL + b_NL)
    truth_NL = np.eye(3, dtype=bool)[[random.choice(3, p=row / row.sum()) for row in odds]]
    both = sure(SINGLE, a_NL, b_NL, truth_NL)
    assert both.phrase_share == pytest.approx(0.5, abs=0.11)
    assert both.temperature == pytest.approx(0.5, rel=0.15)
    noise_NL = random.normal(0, 2, (3000, 3))
    assert sure(SINGLE, noise_NL, a_NL + b_NL, truth_NL).phrase_share == 1.0
    assert sure(SINGLE, a_NL + b_NL, noise_NL, truth_NL).phrase_share == 0.0


def test_phrases_are_folded_in_with_their_share(base: Path) -> None:
    spec = classifier_spec()
    tuned = load(spec, base, ONE_THREAD)
    bare = published(tuned, spec, torch.ones(5))
    rows = heard(tuned, spec, rows_of(4))
    learned = phrases.learn([rows_of(40)], spec.classifier_targets)
    assert learned is not None
    found = calibrated(bare, learned, None)
    assert found.about.phrase_shares == (0.5, 0.5)
    expected = bare.logits(rows.pooled_ND, rows.texts).numpy() + learned.logits(rows.texts)
    said = found.logits(rows.pooled_ND, rows.texts).numpy()
    assert said == pytest.approx(expected / 2, abs=2e-2)  # Published in half precision.


def _heads(spec: TuneSpec) -> PublishedHeads:

    targets = spec.classifier_targets
    about = HeadsFile(targets, HeadPooling.MEAN, (1.0, 1.0))
    return PublishedHeads(about, torch.zeros(5, 4).double(), torch.zeros(5).double())


def test_published_heads_say_what_the_objective_computes_corrected(base: Path) -> None:
    spec = classifier_spec()
    tuned = load(spec, base, ONE_THREAD)
    with torch.no_grad():
        tuned.learned.flat.normal_(std=0.05, generator=torch.Generator().manual_seed(0))
    weights_L = torch.tensor([1.0, 2.0, 0.5, 3.0, 1.0])
    rows = heard(tuned, spec, rows_of(4))
    assert rows.truth_NL.shape == (4, 5)
    assert tuned.heads is not None
    expected = tuned.heads.logits(rows.pooled_ND).detach() - weights_L.log()
    found = published(tuned, spec, weights_L).logits(rows.pooled_ND, rows.texts)
    assert (found - expected).abs().max() < 1e-4 * expected.abs().max()
    alone = pooled_of(tuned, spec, rows_of(4)[2].ids.tolist())
    assert (alone - rows.pooled_ND[2]).abs().max() < 1e-4
