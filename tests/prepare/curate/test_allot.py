from __future__ import annotations

import numpy as np

from modiste.prepare.curate.allot import FREE, by_chance, by_quota, groups_with, stay, straddling
from modiste.prepare.curate.groups import Groups, chance, join


def _alone(n: int) -> Groups:
    return join([np.arange(n, dtype=np.uint64)])


def test_the_stretch_a_figure_falls_into_is_its_part() -> None:
    figures = np.array([0.0, 0.69, 0.7, 0.84, 0.85, 0.999])
    assert by_chance(figures, [0.7, 0.15, 0.15]).tolist() == [0, 0, 1, 1, 2, 2]


def test_quotas_are_met_for_each_kind() -> None:
    groups = _alone(120)
    kinds = np.array([0] * 100 + [1] * 20, dtype=np.int32)
    held = np.full(120, FREE, dtype=np.int8)
    part = by_quota(chance(groups.key, salt="s"), groups, kinds, held, [0.7, 0.15, 0.15])
    assert np.bincount(part[:100]).tolist() == [70, 15, 15]
    assert np.bincount(part[100:]).tolist() == [14, 3, 3]


def test_quotas_count_what_is_held() -> None:
    groups = _alone(100)
    held = np.full(100, FREE, dtype=np.int8)
    held[:20] = 1
    kinds = np.zeros(100, dtype=np.int32)
    part = stay(
        by_quota(chance(groups.key, salt="s"), groups, kinds, held, [0.8, 0.2]), groups, held
    )
    assert np.bincount(part).tolist() == [80, 20]
    assert part[:20].tolist() == [1] * 20


def test_classes_of_one_row_do_not_all_go_to_the_first_part() -> None:
    groups = _alone(200)
    kinds = np.arange(200, dtype=np.int32)
    held = np.full(200, FREE, dtype=np.int8)
    part = by_quota(chance(groups.key, salt="s"), groups, kinds, held, [0.5, 0.5])
    assert 60 < part.sum() < 140


def test_a_group_joins_the_rows_that_stay() -> None:
    groups = join([np.array([1, 1, 1, 2, 2], dtype=np.uint64)])
    held = np.array([FREE, 1, FREE, FREE, FREE], dtype=np.int8)
    part = stay(np.zeros(5, dtype=np.int8), groups, held)
    assert part.tolist() == [1, 1, 1, 0, 0]


def test_groups_that_straddle_are_found() -> None:
    groups = join([np.array([1, 1, 1, 2, 2], dtype=np.uint64)])
    held = np.array([0, 1, FREE, FREE, FREE], dtype=np.int8)
    part = stay(np.zeros(5, dtype=np.int8), groups, held)
    assert part.tolist()[:2] == [0, 1]
    assert straddling(part, groups, part < 0).tolist() == [0]


def test_one_marked_row_marks_its_group() -> None:
    groups = join([np.array([1, 2, 1], dtype=np.uint64)])
    assert groups_with(groups, np.array([False, False, True])).tolist() == [True, False, True]
