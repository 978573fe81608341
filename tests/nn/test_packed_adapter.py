"""A packed file gives back what was written, to those who ask for what it was made of."""

import torch

from modiste.nn.adapter_table import Table
from modiste.nn.packed_adapter import read, write


def table(seed):
    generator = torch.Generator().manual_seed(seed)
    return Table(
        torch.randint(0, 9, (12, 5), generator=generator),
        torch.randint(0, 9, (5, 5), generator=generator),
        torch.randn(4800, generator=generator),
        n_columns=6,
    )


def test_what_is_written_is_read_and_begins_on_a_line(tmp_path):
    for n in range(9):  # Names of every length modulo eight.
        write(tmp_path / "a", table(n), source="x" * n)
        sites, segments, values, n_columns = read(tmp_path / "a", source="x" * n)
        assert n_columns == 6
        assert torch.equal(sites, table(n).sites)
        assert torch.equal(segments[:5], table(n).segments)
        assert not segments[5:].any()
        assert torch.equal(values, table(n).values)
        assert values.data_ptr() % 64 == 0


def test_a_copy_of_something_else_is_none(tmp_path):
    assert read(tmp_path / "a", source="this") is None
    write(tmp_path / "a", table(1), source="that")
    assert read(tmp_path / "a", source="this") is None


def test_a_mapped_table_outlives_its_file(tmp_path):
    write(tmp_path / "a", table(1), source="this")
    held = read(tmp_path / "a", source="this")
    write(tmp_path / "a", table(2), source="this")
    (tmp_path / "a").unlink()
    assert torch.equal(held.values, table(1).values)
    assert list(tmp_path.iterdir()) == []
