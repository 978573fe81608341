"""Greedy answers by whole forwards are what token by token gives."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from modiste.nn.greedy import Likeliest, continued, likeliest


class Model:
    """The next token is decided by the whole sequence before it."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []

    def __call__(self, ids: Sequence[int]) -> Likeliest:
        self.asked.append([*ids])
        behind = [ids[: n + 1] for n in range(len(ids))]
        return Likeliest([self.next(b) for b in behind], [float(self.next(b)) for b in behind])

    def next(self, ids: Sequence[int]) -> int:
        return sum((i + 1) * token for i, token in enumerate(ids)) % 101

    def one_by_one(self, prompt: list[int], n: int) -> list[int]:
        ids = list(prompt)
        for _ in range(n):
            ids.append(self.next(ids))
        return ids[len(prompt) :]


@pytest.mark.parametrize("guess", [(), (1, 2, 3), tuple(range(40))])
@pytest.mark.parametrize("prompt", [[5], [3, 1, 4, 1, 5]])
def test_any_guess_gives_what_drawing_token_by_token_gives(
    prompt: list[int], guess: tuple[int, ...]
) -> None:
    model = Model()
    found = continued(model, prompt, n_tokens=16, guess=guess)
    assert found.ids == model.one_by_one(prompt, 16)
    assert found.margins == [float(token) for token in found.ids]
    assert len(model.asked) <= 16


def test_a_right_guess_takes_one_forward() -> None:
    model = Model()
    right = model.one_by_one([7, 7], 16)
    assert continued(model, [7, 7], n_tokens=16, guess=right).ids == right
    assert len(model.asked) == 1
    model.asked.clear()
    half = [*right[:8], *[0] * 8]
    assert continued(model, [7, 7], n_tokens=16, guess=half).ids == right
    assert 1 < len(model.asked) <= 9


def test_no_tokens_need_no_forward() -> None:
    model = Model()
    assert continued(model, [1], n_tokens=0) == Likeliest([], [])
    assert model.asked == []


def test_a_model_that_never_settles_is_not_asked_for_ever() -> None:
    """Two tokens as near as rounding may take turns."""
    turn = 0

    def flipping(ids: Sequence[int]) -> Likeliest:
        nonlocal turn
        turn += 1
        return Likeliest([turn % 2] * len(ids), [0.0] * len(ids))

    continued(flipping, [7], n_tokens=5)
    assert turn == 5


def test_margins_are_between_the_two_best() -> None:
    told = likeliest(torch.tensor([[0.0, 3.0, 1.0], [2.5, 2.0, -9.0]]))
    assert told == Likeliest([1, 0], [2.0, 0.5])
