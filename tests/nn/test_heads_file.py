"""What a classifier's heads are, as its file tells it."""

from __future__ import annotations

from pathlib import Path

import pytest

from modiste.errors import InvalidInput
from modiste.nn.heads_file import HeadPooling, HeadsFile, n_labels, read_about, save_about, spans
from modiste.types import ClassifierTarget, LossFunction

TARGETS = (
    ClassifierTarget("mood", ("bad", "good"), LossFunction.SINGLE_CLASS),
    ClassifierTarget("of", ("food", "room", "bar"), LossFunction.MULTI_CLASS, 0.5),
)


def test_targets_own_rows_one_after_the_other() -> None:
    assert spans(TARGETS) == [slice(0, 2), slice(2, 5)]
    assert n_labels(TARGETS) == 5


def test_it_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    about = HeadsFile(TARGETS, HeadPooling.LAST, (2.0, 1.0), figures={"mood": {"n": 3}})
    save_about(tmp_path, about)
    assert read_about(tmp_path) == about


def test_a_folder_without_one_is_no_classifier(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="holds no classifier"):
        read_about(tmp_path)
