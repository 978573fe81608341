"""Where a trainer that says nothing hangs: its stacks, into its log, before its worker ends it."""

from __future__ import annotations

import faulthandler
import sys
from collections.abc import Callable
from typing import TextIO

from modiste.tune.events import Event

SHARE = 0.8
"""Of the time after which the worker stops a silent trainer."""


class Alarm:
    """Passes events on; after a silence, every thread's stack goes to `stream`, once."""

    def __init__(
        self,
        on_event: Callable[[Event], None],
        *,
        stall_timeout_s: float | None,
        stream: TextIO | None = None,
    ) -> None:
        self._on_event = on_event
        self._after_s = None if stall_timeout_s is None else SHARE * stall_timeout_s
        self._stream = stream or sys.stderr

    def __enter__(self) -> Alarm:
        self._wind()
        return self

    def __exit__(self, *_: object) -> None:
        faulthandler.cancel_dump_traceback_later()

    def __call__(self, event: Event) -> None:
        self._on_event(event)
        self._wind()

    def _wind(self) -> None:
        if self._after_s is not None:
            faulthandler.dump_traceback_later(self._after_s, file=self._stream)
