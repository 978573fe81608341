"""Heads of classifiers: what they compute, and their files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from modiste.errors import InvalidInput
from modiste.nn.class_heads import (
    RATE,
    WEIGHTS,
    LearnedHeads,
    PublishedHeads,
    load_heads,
    probabilities,
    save_heads,
    size,
)
from modiste.nn.flat import Flat
from modiste.nn.heads_file import ABOUT, HeadPooling, HeadsFile
from modiste.nn.phrases import FIRST, Phrases
from modiste.types import ClassifierTarget, LossFunction

TARGETS = (
    ClassifierTarget("mood", ("bad", "good"), LossFunction.SINGLE_CLASS),
    ClassifierTarget("of", ("food", "room", "bar"), LossFunction.MULTI_CLASS, 0.5),
)
ABOUT_TARGETS = HeadsFile(TARGETS, HeadPooling.LAST, (2.0, 1.0), figures={"mood": {"n": 3}})
HEADS = PublishedHeads(
    ABOUT_TARGETS, (torch.arange(20.0).view(5, 4) / 10).double(), torch.arange(5.0).double()
)
PHRASES = Phrases(
    np.array([7, 9, 8 * FIRST + 9], dtype=np.int64), np.arange(15, dtype=np.float16).reshape(3, 5)
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_heads(tmp_path, HEADS)
    return tmp_path


def test_heads_come_back_as_they_were_saved(folder: Path) -> None:
    heads = load_heads(folder)
    assert heads.about == ABOUT_TARGETS
    assert torch.equal(heads.weight_LD.float(), torch.arange(20.0).view(5, 4) / 10)
    assert heads.bias_L.tolist() == [0, 1, 2, 3, 4]
    assert {path.name for path in folder.iterdir()} == {ABOUT, WEIGHTS}


def test_probabilities_are_softmax_over_the_temperature_and_sigmoids(folder: Path) -> None:
    said = load_heads(folder).probabilities(torch.tensor([[1.0, 0, 0, 0]]), [[7]])[0]
    logits = torch.tensor([0.0, 1.4, 2.8, 4.2, 5.6], dtype=torch.float64)
    assert said[:2].tolist() == pytest.approx((logits[:2] / 2).softmax(0).tolist(), rel=1e-6)
    assert said[2:].tolist() == pytest.approx(logits[2:].sigmoid().tolist(), rel=1e-6)


def test_phrases_come_back_and_are_added_to_what_the_states_say(tmp_path: Path) -> None:
    about = replace(ABOUT_TARGETS, phrase_shares=(0.5, 0.25))
    save_heads(tmp_path, replace(HEADS, about=about, phrases=PHRASES))
    heads = load_heads(tmp_path)
    assert heads.about == about
    state = torch.ones(1, 4)
    texts = [[7, 9], [1, 2]]
    said_NL = heads.logits(state.repeat(2, 1), texts)
    assert torch.equal(said_NL[1], HEADS.logits(state, [[]])[0])
    # 7, 9 and the pair of both, each once: a third of the squares each.
    added = PHRASES.weight_FL.astype(float).sum(0) / 3**0.5
    assert (said_NL[0] - said_NL[1]).tolist() == pytest.approx(added.tolist())


def test_a_file_without_the_phrases_it_promises_is_refused(folder: Path) -> None:
    path = folder / ABOUT
    path.write_text(json.dumps(json.loads(path.read_text()) | {"phrase_shares": [0.5, 0.5]}))
    with pytest.raises(InvalidInput, match="cannot be read"):
        load_heads(folder)


def test_a_single_class_target_adds_up_to_one() -> None:
    logits_NL = torch.randn(7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    said_NL = probabilities(logits_NL, TARGETS, (0.3, 4.0))
    assert said_NL[:, :2].sum(1).tolist() == pytest.approx([1.0] * 7)
    assert ((said_NL > 0) & (said_NL < 1)).all()


def test_what_learns_is_a_part_of_the_vector_and_a_fraction_of_the_values() -> None:
    flat = Flat(size(5, 4) + 3)
    flat.take(3)
    heads = LearnedHeads(flat, n_labels=5, hidden_size=4)
    with torch.no_grad():
        flat.parameter.copy_(torch.arange(28.0))
    heads.logits(torch.ones(2, 4)).sum().backward()  # type: ignore[no-untyped-call]
    assert flat.parameter.grad is not None
    assert flat.parameter.grad.tolist() == [0.0] * 3 + [2 * RATE] * 25
    weight_LD, bias_L = heads.values()
    assert weight_LD[0].tolist() == [RATE * at for at in (3, 4, 5, 6)]
    assert bias_L.tolist() == [RATE * at for at in range(23, 28)]


@pytest.mark.parametrize(
    ("about", "said"),
    [
        (None, "holds no classifier"),
        ({"version": 9}, "another version"),
        ({"temperatures": [1.0]}, "another version"),
        ({"pooling": "max"}, "pooling"),
        ({"targets": [{"name": "a", "labels": ["b", "c"]}], "temperatures": [1]}, "5 labels"),
    ],
)
def test_files_that_say_something_else_are_refused(folder: Path, about: object, said: str) -> None:
    path = folder / ABOUT
    if isinstance(about, dict):
        path.write_text(json.dumps(json.loads(path.read_text()) | about))
    else:
        path.unlink()
    with pytest.raises(InvalidInput, match=said):
        load_heads(folder)


def test_weights_that_cannot_be_read_are_refused(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(b"pickle")
    with pytest.raises(InvalidInput, match="cannot be read"):
        load_heads(folder)
