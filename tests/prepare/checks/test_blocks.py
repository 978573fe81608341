from __future__ import annotations

from io import BytesIO

from hypothesis import given, settings
from hypothesis import strategies as st

from modiste.prepare.checks import blocks as module
from modiste.prepare.checks.blocks import blocks, lines
from modiste.prepare.sources import jsonl

LINES = st.lists(st.binary(max_size=40) | st.sampled_from([b"\n", b"\r\n", b"\n\n"]), max_size=30)


@given(LINES.map(b"".join), st.integers(1, 50))
@settings(deadline=None)
def test_blocks_have_the_lines_of_the_file(data, size):
    """Behind a letter: what the first bytes of a file say about it is said once."""
    whole = list(jsonl.read_rows(BytesIO(b"x" + data), file="f"))

    cut = blocks(BytesIO(b"x" + data), size=size)

    assert [raw for block in cut for raw in lines(block, file="f")] == whole


@given(LINES.map(b"".join), st.integers(1, 50))
@settings(deadline=None)
def test_lines_that_are_too_long_are_passed_over_alike(data, size):
    before = jsonl.MAX_LINE_BYTES
    jsonl.MAX_LINE_BYTES = module.MAX_LINE_BYTES = 16
    try:
        whole = list(jsonl.read_rows(BytesIO(b"x" + data), file="f"))
        cut = [*blocks(BytesIO(b"x" + data), size=size)]
        read = [raw for block in cut for raw in lines(block, file="f")]
    finally:
        jsonl.MAX_LINE_BYTES = module.MAX_LINE_BYTES = before

    assert read == whole
    assert all(len(block.data) <= 2 * (size + 17) for block in cut)


def test_a_block_is_as_large_as_asked_and_ends_with_its_last_line():
    cut = list(blocks(BytesIO(b"a\nbb\nccc\nd"), size=5))

    assert [(b.first_line, b.data) for b in cut] == [(1, b"a\nbb\n"), (3, b"ccc\n"), (4, b"d")]
