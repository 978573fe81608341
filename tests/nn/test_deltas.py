"""Deltas reach the right rows, and with the same bits in any company."""

import pytest
import torch

from modiste.nn.adapter_table import AdapterDeltas, Delta, ExpertSite, Site
from modiste.nn.deltas import Group, RowDeltas, Stacks, independent

D, OUT = 24, 40


def adapter(rank, seed, sites=(Site.QKV,)):
    generator = torch.Generator().manual_seed(seed)
    delta = Delta(
        torch.randn(rank, D, generator=generator), torch.randn(OUT, rank, generator=generator)
    )
    return AdapterDeltas([dict.fromkeys(sites, delta)])


def expected(deltas, x):
    delta = deltas.layers[0][Site.QKV]
    return (x.double() @ delta.down_RD.double().T @ delta.up_OR.double().T).float()


def test_each_row_gets_its_own_adapter_and_bare_rows_stay_as_they_are():
    torch.manual_seed(0)
    a, b, c = adapter(4, 1), adapter(16, 2), adapter(7, 3)
    x, y = torch.randn(30, D), torch.randn(30, OUT)
    before = y.clone()
    # Rows 0-1 bare, 2-12 a, 13 b are generated; rows 14-26 belong to a prompt through c.
    rows = RowDeltas([Group(a, 2, 13), Group(b, 13, 14)], [Group(c, 14, 27)], Stacks())
    rows.add(0, Site.QKV, x, y)

    assert torch.equal(y[:2], before[:2])
    assert torch.equal(y[27:], before[27:])
    # float32 sums of 24 and 16 products of size about 1 to 5.
    for deltas, rows_ in ((a, slice(2, 13)), (b, slice(13, 14)), (c, slice(14, 27))):
        torch.testing.assert_close(
            y[rows_] - before[rows_], expected(deltas, x[rows_]), atol=1e-4, rtol=1e-5
        )


def test_a_generated_row_has_the_same_bits_alone_and_in_any_company():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    mine, other = adapter(16, 1), adapter(4, 2)
    row = torch.randn(1, D)

    def through(before, beside, after):
        x = torch.cat([torch.randn(before, D), row, torch.randn(beside + after, D)])
        y = torch.zeros(len(x), OUT)
        groups = [Group(other, 0, before)] if before else []
        groups.append(Group(mine, before, before + 1 + beside))
        RowDeltas(groups, [], Stacks()).add(0, Site.QKV, x, y)
        return y[before]

    alone = through(0, 0, 0)
    for before in (0, 1, 5, 8, 20):
        for beside in (0, 3, 9, 17):
            for after in (0, 2, 40):
                assert torch.equal(through(before, beside, after), alone)


def test_a_site_the_adapter_leaves_alone_is_left_alone():
    y = torch.randn(3, OUT)
    before = y.clone()
    RowDeltas([Group(adapter(4, 1), 0, 3)], [], Stacks()).add(0, Site.O, torch.randn(3, D), y)
    assert torch.equal(y, before)


def test_adapters_of_one_form_that_meet_again_share_a_stack_while_they_stay():
    a, b, other = adapter(4, 1), adapter(4, 2), adapter(8, 3)
    stacks = Stacks()
    groups = [Group(a, 0, 1), Group(b, 1, 12), Group(other, 12, 13)]
    assert [stack.size for stack, _ in stacks.arrange(groups)] == [1, 1, 1]
    (both, order), (alone, _) = stacks.arrange(groups)
    assert [group.deltas for group in order] == [b, a]
    assert (both.size, alone.size) == (2, 1)
    assert stacks.arrange(groups)[1][0] is alone
    assert stacks.arrange([Group(a, 0, 2), Group(b, 2, 12)])[0][0] is both
    assert stacks.arrange([Group(a, 0, 2)])[0][0].size == 1


def test_rows_that_do_not_lie_together_are_reached_too():
    torch.manual_seed(0)
    a, b, other = adapter(4, 1), adapter(4, 2), adapter(8, 3)
    groups = [Group(a, 0, 3), Group(other, 3, 5), Group(b, 5, 17)]
    stacks, x = Stacks(), torch.randn(17, D)
    first, second = torch.zeros(17, OUT), torch.zeros(17, OUT)
    RowDeltas(groups, [], stacks).add(0, Site.QKV, x, first)
    RowDeltas(groups, [], stacks).add(0, Site.QKV, x, second)
    assert torch.equal(first, second)
    for group in groups:
        mine = slice(group.first, group.end)
        # float32 sums of 24 and at most 8 products of size about 1 to 5.
        torch.testing.assert_close(
            first[mine], expected(group.deltas, x[mine]), atol=1e-4, rtol=1e-5
        )


def test_large_adapters_are_not_copied_and_their_bits_stay_the_same():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    groups = [Group(adapter(16, seed), seed * 3, seed * 3 + 3) for seed in range(5)]
    x = torch.randn(15, D)
    stacked, single = torch.zeros(15, OUT), torch.zeros(15, OUT)
    stacks = Stacks()
    stacks.arrange(groups)
    RowDeltas(groups, [], stacks).add(0, Site.QKV, x, stacked)
    RowDeltas(groups, [], Stacks(limit_bytes=1)).add(0, Site.QKV, x, single)
    assert torch.equal(stacked, single)
    (stack, (group,)), *_ = Stacks(limit_bytes=1).arrange(groups)
    down_CDR, _ = stack.layers[0][Site.QKV]
    assert down_CDR.data_ptr() == group.deltas.layers[0][Site.QKV].down_RD.data_ptr()


@pytest.mark.parametrize("rank", [1, 2, 3, 4, 7, 12, 17])
def test_a_row_has_its_bits_wherever_it_lies_in_its_window(rank):
    """Small ranks go through products so narrow that kernels treat rows by their place."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    mine, other, x = adapter(rank, 1), adapter(rank, 2), torch.randn(20, D)
    alone = torch.zeros(20, OUT)
    for row in range(20):
        one = torch.zeros(1, OUT)
        RowDeltas([Group(mine, 0, 1)], [], Stacks()).add(0, Site.QKV, x[row : row + 1], one)
        alone[row] = one
    groups, stacks = [Group(other, 0, 2), Group(mine, 2, 20)], Stacks()
    for _ in range(2):  # Stacked only when the company is met again.
        together = torch.zeros(20, OUT)
        RowDeltas(groups, [], stacks).add(0, Site.QKV, x, together)
        assert torch.equal(together[2:], alone[2:])


@pytest.mark.parametrize("rank", [2, 16])
def test_rows_of_an_expert_get_their_own_adapters_with_the_bits_they_have_alone(rank):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    place, x = ExpertSite(Site.DOWN, 2), torch.randn(40, D)
    mine, other, prompts = (adapter(rank, seed, [place]) for seed in (1, 2, 3))
    elsewhere = adapter(rank, 4, [ExpertSite(Site.DOWN, 1)])
    generated = [Group(other, 0, 7), Group(mine, 8, 20), Group(elsewhere, 20, 23)]
    rows = RowDeltas(generated, [Group(prompts, 24, 40)], Stacks())
    here = [0, 3, 7, *range(8, 20), 21, 23, 25, 30, 39]
    y = torch.zeros(len(here), OUT)
    rows.add_of_expert(0, place, here, x[here], y)

    def alone(deltas, row):
        out = torch.zeros(1, OUT)
        one = RowDeltas([Group(deltas, 0, 1)], [], Stacks())
        one.add_of_expert(0, place, [0], x[row : row + 1], out)
        return out[0]

    for at, row in enumerate(here):
        if row < 20 and row != 7:
            assert torch.equal(y[at], alone(other if row < 7 else mine, row))
    assert not y[[here.index(row) for row in (7, 21, 23)]].any()
    delta = prompts.layers[0][place]
    expected = (
        x[[25, 30, 39]].double() @ delta.down_RD.double().T @ delta.up_OR.double().T
    ).float()
    # float32 sums of 24 and 16 products of size about 1 to 5.
    torch.testing.assert_close(y[-3:], expected, atol=1e-4, rtol=1e-5)


def test_this_machine_computes_deltas_independently():
    torch.set_num_threads(1)
    assert independent(256, 1152)
    assert independent(48, 96, rank=3)
