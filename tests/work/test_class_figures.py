"""Figures of classifiers against counts by hand."""

from __future__ import annotations

import numpy as np
import pytest

from modiste.nn.heads_file import HeadPooling, HeadsFile
from modiste.types import ClassifierTarget, LossFunction
from modiste.work import class_figures
from modiste.work.class_figures import figures, sentence

MOOD = ClassifierTarget("mood", ("bad", "good"), LossFunction.SINGLE_CLASS)
OF = ClassifierTarget("of", ("food", "room"), LossFunction.MULTI_CLASS)
ABOUT = HeadsFile((MOOD, OF), HeadPooling.MEAN, (1.5, 1.0))
SAID = np.array(
    [[0.9, 0.1, 0.8, 0.1], [0.2, 0.8, 0.6, 0.6], [0.6, 0.4, 0.1, 0.2], [0.3, 0.7, 0.1, 0.9]]
)
TRUE = np.array([[1, 0, 1, 0], [0, 1, 1, 0], [0, 1, 0, 0], [0, 1, 0, 1]], dtype=bool)


def test_a_single_class_target_is_counted_beside_its_commonest_label() -> None:
    mood = figures(ABOUT, SAID, TRUE)["mood"]
    assert mood["accuracy"]["value"] == 0.75
    assert mood["macro_f1"]["value"] == pytest.approx((2 / 3 + 0.8) / 2)
    assert mood["always_the_commonest"] == {"label": "good", "accuracy": 0.75}
    assert mood["labels"][0] == {"label": "bad", "n": 1, "precision": 0.5, "recall": 1.0}
    assert mood["ece"] is None  # Of four rows there are no fifteen bins.


def test_a_multi_class_target_is_right_where_all_of_a_row_is() -> None:
    of = figures(ABOUT, SAID, TRUE)["of"]
    assert of["accuracy"]["value"] == 0.75
    assert of["micro_f1"] == pytest.approx(2 * 3 / (3 + 4))
    assert of["macro_f1"]["value"] == pytest.approx((1.0 + 2 / 3) / 2)
    assert of["always_the_commonest"] == {"label": "nothing", "accuracy": 0.25}


def test_many_rows_have_the_same_figures_without_drawn_intervals(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small = figures(ABOUT, SAID, TRUE)["mood"]["macro_f1"]
    monkeypatch.setattr(class_figures, "MOST_DRAWN", 0)
    large = figures(ABOUT, SAID, TRUE)["mood"]["macro_f1"]
    assert large == {"value": pytest.approx(small["value"]), "ci": None}
    assert small["ci"] is not None


def test_how_far_probabilities_are_off_is_told() -> None:
    """All say 0.9 of the first label and half come true: off by 0.4, whatever the bins."""
    said = np.tile([0.9, 0.1, 0.5, 0.5], (90, 1))
    true = np.zeros((90, 4), dtype=bool)
    true[::2, 0] = true[1::2, 1] = True
    assert figures(ABOUT, said, true)["mood"]["ece"] == pytest.approx(0.4, abs=1e-9)


def test_people_are_told_in_a_sentence() -> None:
    about = HeadsFile(
        ABOUT.targets, ABOUT.pooling, ABOUT.temperatures, figures=figures(ABOUT, SAID, TRUE)
    )
    assert sentence(about).startswith("Of 4 validation rows: mood right in 0.750 (")
    assert "saying 'good' to all would be right in 0.750" in sentence(about)
    assert "not calibrated" in sentence(ABOUT)
