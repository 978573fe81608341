"""The rows a model finds hardest: all of them where they fit, a drawn part where not."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from modiste.tune import worst as module
from modiste.tune.mixture import Samples, Source
from modiste.tune.objective import NextToken
from modiste.tune.tuned import load
from modiste.tune.worst import losses_of, worst

from .conftest import Run, samples_of


def of_file(samples: Samples, file: str) -> Samples:
    pairs = [samples[i][:2] for i in range(len(samples))]
    return Samples(pairs, origins=[(file, 1 + i) for i in range(len(pairs))])


@pytest.fixture
def objective(make_run: Callable[..., Run]) -> NextToken:
    run = make_run()
    tuned = load(run.spec, run.base, run.machine)
    return NextToken(tuned.scorer, tuned.machine)


def test_a_part_is_drawn_where_measuring_all_would_take_too_long(
    objective: NextToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LEAST_TOKENS", 200)
    source = Source("a", 1.0, of_file(samples_of(40), "a.jsonl"))
    options = {"n_tokens": 0, "seed": 0, "tell": lambda *_: None}
    (found,) = worst(objective, [source], Samples(), **options)
    assert (found.part, found.n_rows) == ("training", 40)
    assert 0 < found.n_measured < 20
    assert len(found.rows) <= found.n_measured
    assert worst(objective, [source], Samples(), **options) == [found]
    assert worst(objective, [source], Samples(), **{**options, "seed": 1}) != [found]


def test_losses_that_are_no_number_come_first(
    objective: NextToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = iter([(2.0, 1), (math.nan, 1), (3.0, 1), (math.inf, 1), (1.0, 1)])
    monkeypatch.setattr(module, "losses_of", lambda *_: told)
    source = Source("a", 1.0, of_file(samples_of(5), "a.jsonl"))
    (found,) = worst(objective, [source], Samples(), n_tokens=0, seed=0, tell=lambda *_: None)
    losses = [row.loss for row in found.rows]
    assert not any(map(math.isfinite, losses[:2]))
    assert losses[2:] == [3.0, 2.0, 1.0]


def test_rows_of_unknown_places_are_left_alone(objective: NextToken) -> None:
    source = Source("a", 1.0, samples_of(5))
    assert worst(objective, [source], Samples(), n_tokens=0, seed=0, tell=lambda *_: None) == []


def test_the_loss_of_a_row_does_not_depend_on_its_neighbours(objective: NextToken) -> None:
    samples = [samples_of(9)[i] for i in range(9)]
    together = list(losses_of(objective, samples))
    alone = [next(iter(losses_of(objective, [sample]))) for sample in samples]
    assert [n for _, n in together] == [n for _, n in alone]
    # fp32, matrices of other heights.
    assert [x for x, _ in together] == pytest.approx([x for x, _ in alone], rel=1e-5)
