"""A table holds an adapter's matrices whole, whatever their ranks and sizes."""

import pytest
import torch

from modiste.nn.adapter_table import (
    AdapterDeltas,
    Block,
    Delta,
    ExpertSite,
    Site,
    column,
    packed,
    places,
    unpacked,
)


def layers():
    generator = torch.Generator().manual_seed(3)

    def random(*size):
        return torch.randn(*size, generator=generator)

    fused = torch.zeros(80, 12)
    fused[:48, :5], fused[64:, 5:] = random(48, 5), random(16, 7)
    blocks = (Block(0, 48, 0, 5), Block(64, 16, 5, 7))
    return [
        {
            Site.QKV: Delta(random(12, 48), fused, blocks),
            Site.DOWN: Delta(random(3, 72), random(48, 3)),
        },
        {},
        {Site.O: Delta(random(20, 40), random(50, 20))},
    ]


def with_experts():
    some = layers()
    delta = some[0][Site.DOWN]
    some[1] = {ExpertSite(Site.DOWN, 1): delta, ExpertSite(Site.GATE_UP, 3): delta}
    return some


def test_experts_have_columns_behind_the_four_sites():
    columns = places(len(Site) + 2 * 3)
    assert columns[:5] == [*Site, ExpertSite(Site.GATE_UP, 0)]
    assert [column(place) for place in columns] == list(range(10))
    assert places(len(Site)) == list(Site)


@pytest.mark.parametrize("given", [layers(), with_experts()])
def test_what_is_packed_comes_out_again(given):
    for dtype in (torch.float32, torch.bfloat16):
        table = packed(given, dtype=dtype)
        assert table.values.dtype == dtype
        again = unpacked(table)
        assert [set(layer) for layer in again] == [set(layer) for layer in given]
        for layer, same in zip(given, again, strict=True):
            for site, delta in layer.items():
                assert torch.equal(delta.down_RD.to(dtype).float(), same[site].down_RD)
                assert torch.equal(delta.up_OR.to(dtype).float(), same[site].up_OR)
                assert delta.all_blocks() == same[site].all_blocks()


@pytest.mark.parametrize("layers", [layers(), with_experts()])
def test_an_adapter_of_a_table_has_the_form_of_its_matrices(layers):
    given = AdapterDeltas(layers)
    again = AdapterDeltas.of_table(given.table)
    assert again.form == given.form
    assert again.size_bytes == given.size_bytes
    assert again.placed.address % 8 == 0
