"""Blocks of prompts are known by all that their bits depend on, and leave in a sensible order."""

import torch

from modiste.nn.parts import KeyValues
from modiste.serve.prefix import PrefixBlocks, block_keys, write
from modiste.serve.scheduler import GRANULE

LAYERS, HEADS, SIZE = 2, 1, 4
BLOCK_BYTES = 2 * LAYERS * GRANULE * HEADS * SIZE * 4


def cells(n_granules, seed=0):
    generator = torch.Generator().manual_seed(seed)
    size = (LAYERS, n_granules * GRANULE, HEADS, SIZE)
    return KeyValues(*(torch.randn(size, generator=generator) for _ in range(2)))


def test_a_key_depends_on_the_adapter_and_on_every_token_up_to_its_end():
    ids = tuple(range(200))
    keys = block_keys(ids, adapter=None)
    assert len(set(keys)) == len(keys) == 3
    assert block_keys(ids[:128], adapter=None) == keys[:2]
    assert block_keys(ids[:63], adapter=None) == []
    others = [block_keys(ids, adapter=adapter) for adapter in [("a", "1"), ("a", "2"), ("b", "1")]]
    others.append(block_keys((9, *ids[1:]), adapter=None))
    assert len({key for some in [keys, *others] for key in some}) == 15


def test_what_is_kept_comes_back_to_the_bit_wherever_it_goes():
    source, target = cells(3), cells(4, seed=1)
    untouched = target.keys_LCKE[:, :GRANULE].clone()
    blocks = PrefixBlocks(2**20)
    blocks.keep(b"a", source, GRANULE)
    source_keys = source.keys_LCKE[:, GRANULE : 2 * GRANULE].clone()
    source.keys_LCKE.zero_()
    (block,) = blocks.known([b"a", b"b"])
    write(block, target, 3 * GRANULE)
    assert torch.equal(target.keys_LCKE[:, 3 * GRANULE :], source_keys)
    values = source.values_LCKE[:, GRANULE : 2 * GRANULE]
    assert torch.equal(target.values_LCKE[:, 3 * GRANULE :], values)
    assert torch.equal(target.keys_LCKE[:, :GRANULE], untouched)


def test_only_an_unbroken_beginning_is_known():
    blocks, source = PrefixBlocks(2**20), cells(3)
    blocks.keep(b"a", source, 0)
    blocks.keep(b"c", source, 2 * GRANULE)
    assert len(blocks.known([b"a", b"b", b"c"])) == 1
    assert blocks.known([b"b", b"c"]) == []


def test_it_never_holds_more_than_it_may_and_ends_of_prompts_go_first():
    blocks, source = PrefixBlocks(3 * BLOCK_BYTES + 5), cells(1)
    for key in (b"a1", b"a2", b"b1"):
        blocks.keep(key, source, 0)
    blocks.used([b"b1"])
    blocks.used([b"a1", b"a2"])
    blocks.keep(b"c1", source, 0)
    assert blocks.n_bytes == 3 * BLOCK_BYTES
    assert not blocks.known([b"b1"])  # Used least recently.
    blocks.keep(b"d1", source, 0)
    assert len(blocks.known([b"a1"])) == 1  # Its end went before it.
    assert len(blocks.known([b"a1", b"a2"])) == 1


def test_a_block_larger_than_all_it_may_hold_is_not_kept():
    blocks = PrefixBlocks(BLOCK_BYTES - 1)
    blocks.keep(b"a", cells(1), 0)
    assert blocks.n_bytes == 0
    assert blocks.known([b"a"]) == []
    assert not PrefixBlocks(0).enabled
