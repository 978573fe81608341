"""Lists and arrays of tokens are one and the same sample."""

from __future__ import annotations

import numpy as np

from modiste.prepare.rendered import Rendered, Span

LISTS = Rendered([1, 5, 6, 2, 7, 2], [False, False, True, True, False, True])
ARRAYS = Rendered.of_spans(np.array([1, 5, 6, 2, 7, 2], np.int32), [Span(2, 4), Span(5, 6)])


def test_spans_of_an_array_spell_the_mask():
    assert ARRAYS == LISTS
    assert ARRAYS.mask == LISTS.mask
    assert ARRAYS.ids == [1, 5, 6, 2, 7, 2]


def test_counts_need_no_lists():
    assert (ARRAYS.n_tokens, ARRAYS.n_trained) == (LISTS.n_tokens, LISTS.n_trained) == (6, 3)


def test_a_sample_unpacks_into_ids_and_mask():
    ids, mask = ARRAYS

    assert (ids, mask) == (LISTS.ids, LISTS.mask)
    assert type(ids[0]) is int
    assert type(mask[0]) is bool


def test_a_mask_that_is_changed_stays_changed():
    sample = Rendered.of_spans(np.array([1, 2], np.int32), [Span(1, 2)])
    sample.mask[1] = False

    assert sample.n_trained == 0
    assert sample == Rendered([1, 2], [False, False])


def test_samples_differ_by_ids_and_by_mask():
    assert Rendered([1], [True]) != Rendered([2], [True])
    assert Rendered([1], [True]) != Rendered([1], [False])
    assert Rendered([1], [True]) != [[1], [True]]
