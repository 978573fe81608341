"""Lines that a person types: arrow keys, the lines of earlier days, and names completed by Tab."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

HISTORY_LINES = 1000
Complete = Callable[[str], Sequence[str]]
"""What a beginning may become."""


@contextmanager
def line_editing(history: Path, complete: Complete | None = None) -> Iterator[None]:
    """For `input()` in the block; the history is kept for its owner alone."""
    try:
        import readline
    except ImportError:  # a Python without it still reads lines
        yield
        return
    with suppress(OSError):
        readline.read_history_file(history)
    readline.set_history_length(HISTORY_LINES)
    before = readline.get_completer(), readline.get_completer_delims()
    if complete is not None:
        readline.set_completer(lambda begun, at: _nth(complete(begun), at))
        readline.set_completer_delims(" \t\n,;()='\"`")
        readline.parse_and_bind("tab: complete")
    try:
        yield
    finally:
        readline.set_completer(before[0])
        readline.set_completer_delims(before[1])
        with suppress(OSError):
            history.touch(mode=0o600)
            readline.write_history_file(history)


def _nth(found: Sequence[str], at: int) -> str | None:
    return found[at] if at < len(found) else None
