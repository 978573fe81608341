"""Dropout that is a function of where it happens."""

from __future__ import annotations

import torch
from torch import nn

from modiste.nn.dropout import Dropout, DroppedLora, seeded
from modiste.nn.frozen import FrozenMatrix

ONES = torch.ones(200, 50)


def test_nothing_is_dropped_outside_training() -> None:
    dropout = Dropout(0.5, seed=1)
    assert dropout(ONES, "a") is ONES
    with dropout.training(1, 0, 0):
        assert (dropout(ONES, "a") == 0).any()
    assert dropout(ONES, "a") is ONES


def test_a_mask_depends_on_seed_place_and_layer_and_on_nothing_before_it() -> None:
    def drawn(seed: int, at: tuple[int, ...], name: str) -> torch.Tensor:
        dropout = Dropout(0.25, seed=seed)
        with dropout.training(*at):
            torch.rand(7)  # what others draw
            dropout(ONES, "another layer")
            return dropout(ONES, name)

    first = drawn(1, (3, 0, 2), "a")
    assert torch.equal(drawn(1, (3, 0, 2), "a"), first)
    others = [(2, (3, 0, 2), "a"), (1, (4, 0, 2), "a"), (1, (3, 1, 2), "a"), (1, (3, 0, 2), "b")]
    assert not any(torch.equal(drawn(*other), first) for other in others)


def test_the_asked_share_is_dropped_and_the_mean_stays() -> None:
    dropout = Dropout(0.25, seed=1)
    with dropout.training(1):
        out = dropout(ONES, "a")
    # 10,000 draws: a standard deviation of 0.0043; four of them are 6e-5 of false alarms.
    assert abs(float((out == 0).float().mean()) - 0.25) < 0.018
    assert set(out.unique().tolist()) == {0.0, float(torch.tensor(1.0) / 0.75)}


def test_a_layer_drops_its_adapters_input_only() -> None:
    low_a, low_b = nn.Parameter(torch.ones(1, 50)), nn.Parameter(torch.ones(3, 1))
    dropout = Dropout(0.5, seed=0)
    base = FrozenMatrix(torch.ones(3, 50))
    layer = DroppedLora(base, lora_A=low_a, lora_B=low_b, scaling=1.0, dropout=dropout, name="a")
    assert torch.equal(layer(ONES), torch.full((200, 3), 100.0))
    with dropout.training(1):
        out = layer(ONES)
        assert torch.equal(out[:, 0], 50 + dropout(ONES, "a").sum(1))
        out.sum().backward()
        assert torch.equal(low_a.grad[0], 3 * dropout(ONES, "a").sum(0))
        layer.enabled = False
        assert torch.equal(layer(ONES), torch.full((200, 3), 50.0))


def test_generators_of_the_same_text_draw_the_same() -> None:
    assert torch.equal(*(torch.rand(5, generator=seeded("x")) for _ in range(2)))
