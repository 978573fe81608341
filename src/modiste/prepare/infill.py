"""How a base is asked to write between two texts: the marks it knows, and their order."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

MARKS = (
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
    ("<fim-prefix>", "<fim-suffix>", "<fim-middle>"),
    ("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),
)
"""Of Qwen, Granite and CodeGemma; StarCoder; SantaCoder; DeepSeek."""


class Infill(NamedTuple):
    """How a base is asked for a middle."""

    prompt: Callable[[str, str], list[int]]
    """What stands before and what stands behind, to the ids behind which the middle is written."""
    middle: Callable[[str], list[int]]
    """Text that goes on behind other text."""
    marks: frozenset[int]
