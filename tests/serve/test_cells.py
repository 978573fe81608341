"""Memory is taken as cells are written and comes back when a slot is left."""

import resource
from pathlib import Path

import psutil
import pytest

from modiste.nn.shape import read_shape
from modiste.serve.cells import Cells
from modiste.serve.slots import Slot

MIB = 2**20


@pytest.fixture(scope="module")
def shape(random_base):
    return read_shape(Path(random_base("mistral", max_position_embeddings=64)))


def resident():
    return psutil.Process().memory_info().rss


def test_cells_keep_what_is_written(shape):
    cells = Cells(shape, 64)
    keys, values = cells.key_values
    keys[2, 5], values[0, 63] = 1.5, 2.5
    assert keys.shape == (shape.n_layers, 64, shape.n_kv_heads, shape.head_size)
    assert keys[2, 5].eq(1.5).all()
    assert values[0, 63].eq(2.5).all()
    assert not keys[1].any()


def test_addresses_beyond_this_machines_memory_cost_nothing(shape):
    n_cells = 4 * psutil.virtual_memory().total // shape.kv_bytes_per_token
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY:
        pytest.skip(f"addresses are limited to {limit} bytes here")
    before = resident()
    cells = Cells(shape, n_cells)
    cells.key_values.keys_LCKE[-1, -1] = 1.0
    assert resident() - before < 8 * MIB


def test_memory_of_a_slot_that_is_left_comes_back_and_its_neighbours_stay(shape):
    """Where the system can take pages back at all."""
    n = 100_000 // 16 * 16
    cells = Cells(shape, 3 * n)
    slot_bytes = n * shape.kv_bytes_per_token
    for part in cells.key_values:
        part.fill_(1.0)
    before = resident()
    cells.give_back(Slot(n, n), n)
    freed = before - resident()
    if freed == 0:
        pytest.skip("this system keeps pages that were taken once")
    # Pages that neighbours share stay, and whoever runs beside this test may take a little.
    assert abs(freed - slot_bytes) < 0.05 * slot_bytes
    for part in cells.key_values:
        assert part[:, :n].eq(1.0).all()
        assert part[:, 2 * n :].eq(1.0).all()
