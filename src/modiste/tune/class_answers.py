"""What trained heads say of rows, and how sure they should be: probabilities that mean something.

Temperatures are found on rows that were not learned from: each target's logits are divided by the
one number under which what holds there is most probable. So is how much of them is the heads' on
the states of the base, and how much the phrases'. One row more that could have been anything
is counted in, so that heads which are always right do not become infinitely sure of it.

Legend: N rows, D hidden size, L labels of all targets.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modiste.nn import heads_file
from modiste.nn.class_heads import PublishedHeads
from modiste.nn.heads_file import HeadPooling, HeadsFile, spans
from modiste.tune.classify import Classify, correction
from modiste.tune.mixture import Samples
from modiste.tune.phrases import Learned
from modiste.tune.spec import TuneSpec
from modiste.tune.tuned import Tuned
from modiste.types import ClassifierTarget

FEWEST_ROWS = 30
"""On fewer, a temperature says more about chance than about the heads."""
SHARES = tuple(tenths / 10 for tenths in range(11))
"""Of phrases, that are tried."""
UNKNOWN = 0.5
"""The share of phrases where there are too few rows to find it on."""
COLDEST, HOTTEST = 0.05, 20.0
HALVINGS = 60


class Heard(NamedTuple):
    """States of rows as the heads read them, and what holds."""

    texts: list[NDArray[np.int32]]
    """The ids of each row."""
    pooled_ND: Tensor
    truth_NL: NDArray[np.bool_]


def published(tuned: Tuned, spec: TuneSpec, weights_L: Tensor) -> PublishedHeads:
    """The heads as they are served, not yet calibrated; `weights_L` are those of the loss."""
    assert tuned.heads is not None  # noqa: S101  # Only classifiers come here.
    weight_LD, bias_L = tuned.heads.values()
    targets = spec.classifier_targets
    about = HeadsFile(targets, HeadPooling(spec.classifier.pooling), (1.0,) * len(targets))
    return PublishedHeads(about, weight_LD.double(), (bias_L + correction(weights_L)).double())


@torch.no_grad()
def heard(
    tuned: Tuned,
    spec: TuneSpec,
    samples: Samples,
    *,
    tell: Callable[[int], None] = lambda n_done: None,
) -> Heard:
    """Read every row once; `tell` hears how many are done."""
    assert tuned.heads is not None  # noqa: S101  # Only classifiers come here.
    n = heads_file.n_labels(spec.classifier_targets)
    reader = Classify(tuned.scorer, tuned.heads, tuned.machine, spec, torch.ones(n))
    pooled, truth = [], []
    every = [samples[at] for at in range(len(samples))]
    for rows in reader.batches(every):
        pooled.append(reader.pooled(rows).cpu())
        truth.append(rows.truth_NL.cpu().numpy() > 0)
        tell(sum(map(len, truth)))
    return Heard([each.ids for each in every], torch.cat(pooled), np.concatenate(truth))


def pooled_of(tuned: Tuned, spec: TuneSpec, ids: Sequence[int]) -> Tensor:
    """(D,) of one row."""
    return heard(tuned, spec, Samples.with_labels([(ids, [])])).pooled_ND[0]


def calibrated(
    heads: PublishedHeads, learned: Learned | None, rows: Heard | None
) -> PublishedHeads:
    """With phrases added and temperatures found, as far as there are rows to find them on.

    Without them both sides are a half, and the temperatures 1.
    """
    targets, n = heads.about.targets, 0 if rows is None else len(rows.truth_NL)
    found = [Sure(UNKNOWN if learned else 0.0, 1.0)] * len(targets)
    if rows is not None and n >= FEWEST_ROWS:
        states_NL = heads.logits(rows.pooled_ND, rows.texts).numpy()
        phrases_NL = None if learned is None else learned.logits(rows.texts)
        found = [
            sure(
                target,
                states_NL[:, span],
                None if phrases_NL is None else phrases_NL[:, span],
                rows.truth_NL[:, span],
            )
            for target, span in zip(targets, spans(targets), strict=True)
        ]
    about = replace(heads.about, temperatures=tuple(each.temperature for each in found))
    if learned is None:
        return replace(heads, about=about)
    shares = tuple(each.phrase_share for each in found)
    share_L = np.repeat(shares, [len(target.labels) for target in targets])
    rest_L = torch.from_numpy(1 - share_L)
    weight_FL = (learned.phrases.weight_FL * share_L).astype(np.float16)
    return PublishedHeads(
        replace(about, phrase_shares=shares),
        heads.weight_LD * rest_L[:, None],
        heads.bias_L * rest_L + torch.from_numpy(learned.bias_L * share_L),
        replace(learned.phrases, weight_FL=weight_FL),
    )


class Sure(NamedTuple):
    phrase_share: float
    temperature: float


def sure(
    target: ClassifierTarget,
    states_NL: NDArray[np.float64],
    phrases_NL: NDArray[np.float64] | None,
    truth_NL: NDArray[np.bool_],
) -> Sure:
    """Under which the rows are most probable, of the shares tried."""
    if phrases_NL is None:
        return Sure(0.0, temperature(target, states_NL, truth_NL))
    best, least = Sure(UNKNOWN, 1.0), math.inf
    for share in SHARES:
        logits_NL = (1 - share) * states_NL + share * phrases_NL
        heat = temperature(target, logits_NL, truth_NL)
        said_NL = _said(target, logits_NL / heat)
        right_NL = said_NL if target.single else np.where(truth_NL, said_NL, 1 - said_NL)
        counted_NL = truth_NL if target.single else np.ones_like(truth_NL)
        loss = -float(np.log(np.maximum(right_NL[counted_NL], 1e-12)).sum())
        if loss < least:
            best, least = Sure(share, heat), loss
    return best


def temperature(
    target: ClassifierTarget, logits_NL: NDArray[np.float64], truth_NL: NDArray[np.bool_]
) -> float:
    """Under which the rows are most probable. The loss is convex in 1 / temperature, so its slope
    has one root, found by halving."""
    n, n_labels = truth_NL.shape
    blur = 1.0 / (n + 1)
    wanted_NL = (1 - blur) * truth_NL + blur / (n_labels if target.single else 2)
    low, high = 1 / HOTTEST, 1 / COLDEST
    for _ in range(HALVINGS):
        middle = math.sqrt(low * high)
        slope = float(((_said(target, middle * logits_NL) - wanted_NL) * logits_NL).sum())
        low, high = (low, middle) if slope > 0 else (middle, high)
    return 1 / math.sqrt(low * high)


def _said(target: ClassifierTarget, logits_NL: NDArray[np.float64]) -> NDArray[np.float64]:
    if not target.single:
        return 1 / (1 + np.exp(-np.clip(logits_NL, -500, 500)))
    powers_NL = np.exp(logits_NL - logits_NL.max(1, keepdims=True))
    made: NDArray[np.float64] = powers_NL / powers_NL.sum(1, keepdims=True)
    return made
