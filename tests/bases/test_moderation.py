"""The moderation classifier's rows, and that what ships is what its card and its policy say."""

from __future__ import annotations

import re

import numpy as np
import pytest
from safetensors import safe_open

from modiste.actions import shipped_classifier
from modiste.actions.moderation import shipped
from modiste.bases.moderation import card
from modiste.bases.moderation.card import Asked, Column
from modiste.bases.moderation.labels import READ, VIOLATES
from modiste.bases.moderation.made import made
from modiste.bases.moderation.made_words import MATTERS
from modiste.bases.moderation.recipe import SHIPS
from modiste.bases.moderation.rows import LABELS, Row
from modiste.nn.heads_file import read_about

MOST_BYTES = 6_000_000


def test_no_act_that_is_asked_was_learned() -> None:
    learned = {row.text.lower() for row in made(held_out=False, per_matter=8)}
    asked = made(held_out=True, per_matter=2)
    assert {label for row in asked for label in row.labels} == set(LABELS)
    held_out = [act for matter in MATTERS for act in matter.acts[4::5]]
    assert held_out
    assert not [act for act in held_out if any(act.lower() in text for text in learned)]
    assert made(held_out=True, per_matter=2) == asked


def test_labels_are_of_rows_that_were_read() -> None:
    numbers = {int(each) for said in VIOLATES.values() for each in said.split()}
    assert not [at for at in numbers if not any(at in read for read in READ)]


def test_a_threshold_is_the_lowest_step_that_few_others_reach() -> None:
    rows = [Asked(Row("", (), "made"), dict.fromkeys(LABELS, at / 1000)) for at in range(200)] + [
        Asked(Row("", LABELS, "made"), dict.fromkeys(LABELS, 0.9))
    ]
    assert set(card.thresholds(rows).values()) == {0.2}


def test_auc_counts_ties_half_and_f1_both_errors() -> None:
    truth = np.array([True, True, False, False])
    assert card.auc(*Column(truth, np.array([0.9, 0.5, 0.5, 0.1]))) == pytest.approx(3.5 / 4)
    assert card.f1(truth, np.array([1.0, 0.0, 1.0, 0.0])) == pytest.approx(0.5)


def test_what_ships_is_small_and_whole_and_no_pickle() -> None:
    assert SHIPS == shipped_classifier.FILES
    assert sum((shipped_classifier.FOLDER / each).stat().st_size for each in SHIPS) < MOST_BYTES
    (target,) = read_about(shipped_classifier.FOLDER).targets
    assert target.labels == LABELS
    for name in ("adapter_model.safetensors", "classifier.safetensors"):
        with safe_open(shipped_classifier.FOLDER / name, "np") as tensors:
            assert list(tensors.keys())


def test_the_shipped_policy_has_the_thresholds_of_the_card() -> None:
    text = (shipped_classifier.FOLDER / "MODEL_CARD.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| `(\w+)` \| (0\.\d\d) \|", text, re.MULTILINE))
    assert set(told) == set(LABELS)
    policy = shipped().policy
    for label in set(LABELS) - {"offensive"}:
        assert policy.category(label).threshold == float(told[label]), label
