"""How a classifier does on rows it did not learn from, target by target, as JSON and in a sentence.

Always beside what saying the commonest label would score, and with how far its probabilities are
from what came true. What has no denominator is None, never zero.

Legend: N rows, L labels of all targets, K of one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modiste.evaluate.stats.calibration import ece
from modiste.evaluate.stats.classification import classification_report
from modiste.evaluate.stats.estimates import wilson
from modiste.nn.heads_file import HeadsFile, spans
from modiste.types import ClassifierTarget

BINS = 15
MOST_DRAWN = 2_000_000
"""Rows times labels of which intervals are drawn; beyond that they would say little."""


def figures(
    about: HeadsFile, said_NL: NDArray[np.float64], truth_NL: NDArray[np.bool_]
) -> dict[str, Any]:
    """
    Args:
        said_NL: probabilities as they are served.
    """
    told: dict[str, Any] = {}
    parts = zip(about.targets, spans(about.targets), about.temperatures, strict=True)
    for target, span, temperature in parts:
        of_target = _single if target.single else _multi
        told[target.name] = {
            "n": len(truth_NL),
            "temperature": temperature,
            **of_target(target, said_NL[:, span], truth_NL[:, span]),
        }
    return told


def sentence(about: HeadsFile) -> str:
    """For people: one clause for each target."""
    if not about.figures:
        return (
            "There were no validation files, so nothing is known about other rows and the "
            "probabilities are not calibrated."
        )
    said = [_clause(name, told) for name, told in about.figures.items()]
    n = next(iter(about.figures.values()))["n"]
    return f"Of {n:,} validation rows: {'; '.join(said)}."


def _clause(name: str, told: Mapping[str, Any]) -> str:
    share, macro = told["accuracy"], told["macro_f1"]
    lo, hi = share["ci"]
    text = f"{name} right in {share['value']:.3f} ({lo:.3f} to {hi:.3f})"
    if macro is not None:
        text += f", macro-F1 {macro['value']:.3f}"
    base = told["always_the_commonest"]
    text += f", saying {base['label']!r} to all would be right in {base['accuracy']:.3f}"
    if told["ece"] is not None:
        text += f", probabilities {told['ece']:.3f} off on average"
    return f"{text} (temperature {told['temperature']:.2f})"


def _single(
    target: ClassifierTarget, said_NK: NDArray[np.float64], truth_NK: NDArray[np.bool_]
) -> dict[str, Any]:
    right_N, said_N = truth_NK.argmax(1), said_NK.argmax(1)
    hit_N = right_N == said_N
    counts_K = truth_NK.sum(0)
    commonest = int(counts_K.argmax())
    macro: dict[str, Any] | None = None
    if truth_NK.size <= MOST_DRAWN:
        names = list(target.labels)
        report = classification_report(
            [names[at] for at in right_N], [names[at] for at in said_N], names
        )
        found = report.macro_f1
        macro = None if found is None else {"value": found.value, "ci": [found.ci.lo, found.ci.hi]}
    else:
        value = _macro(truth_NK, said_N[:, None] == np.arange(truth_NK.shape[1]))
        macro = None if value is None else {"value": value, "ci": None}
    return {
        "accuracy": _share(int(hit_N.sum()), len(hit_N)),
        "macro_f1": macro,
        "always_the_commonest": {
            "label": target.labels[commonest],
            "accuracy": float(counts_K[commonest] / len(hit_N)),
        },
        "ece": _ece(said_NK.max(1), hit_N),
        "labels": _labels(target, truth_NK, said_N[:, None] == np.arange(truth_NK.shape[1])),
    }


def _multi(
    target: ClassifierTarget, said_NK: NDArray[np.float64], truth_NK: NDArray[np.bool_]
) -> dict[str, Any]:
    """Accuracy is the share of rows of which everything said is true."""
    held_NK = said_NK > 0.5
    hit_N = (held_NK == truth_NK).all(1)
    value = _macro(truth_NK, held_NK)
    empty = float((~truth_NK.any(1)).mean())
    return {
        "accuracy": _share(int(hit_N.sum()), len(hit_N)),
        "macro_f1": None if value is None else {"value": value, "ci": None},
        "micro_f1": _f1(truth_NK, held_NK),
        "always_the_commonest": {"label": "nothing", "accuracy": empty},
        "ece": _ece(said_NK.ravel(), truth_NK.ravel()),
        "labels": _labels(target, truth_NK, held_NK),
    }


def _share(k: int, n: int) -> dict[str, Any]:
    found = wilson(k, n)
    return {"value": k / n, "ci": [found.lo, found.hi], "n": n}


def _ece(said: NDArray[np.float64], came: NDArray[np.bool_]) -> float | None:
    if len(said) < BINS:
        return None
    return float(ece(np.clip(said, 0, 1).tolist(), came.astype(float).tolist(), bins=BINS).ece)


def _labels(
    target: ClassifierTarget, truth_NK: NDArray[np.bool_], held_NK: NDArray[np.bool_]
) -> list[dict[str, Any]]:
    told = []
    for at, label in enumerate(target.labels):
        n, n_said = int(truth_NK[:, at].sum()), int(held_NK[:, at].sum())
        both = int((truth_NK[:, at] & held_NK[:, at]).sum())
        told.append(
            {
                "label": label,
                "n": n,
                "precision": both / n_said if n_said else None,
                "recall": both / n if n else None,
            }
        )
    return told


def _macro(truth_NK: NDArray[np.bool_], held_NK: NDArray[np.bool_]) -> float | None:
    """Over labels that occur or are said."""
    found = [_f1(truth_NK[:, [at]], held_NK[:, [at]]) for at in range(truth_NK.shape[1])]
    known = [value for value in found if value is not None]
    return float(np.mean(known)) if known else None


def _f1(truth: NDArray[np.bool_], held: NDArray[np.bool_]) -> float | None:
    total = int(truth.sum() + held.sum())
    return 2 * int((truth & held).sum()) / total if total else None
