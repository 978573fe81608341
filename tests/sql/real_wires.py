"""Both wires on free ports over the house that `speaker` speaks in, its engine a script."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from modiste.sql import entrance
from modiste.sql.wires import Wires


@dataclass(frozen=True)
class Doors:
    mysql: int
    postgres: int
    key: str


@pytest.fixture(scope="session")
def doors(speaker: Any) -> Iterator[Doors]:
    settings = speaker.session.place.database.settings
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    wires = Wires(settings, entrance.of(speaker.session.place))
    asyncio.run_coroutine_threadsafe(wires.start(), loop).result(timeout=30)
    key = settings.admin_key_file.read_text().strip()
    yield Doors(wires.ports["mysql"], wires.ports["postgres"], key)
    asyncio.run_coroutine_threadsafe(wires.close(drain_s=0), loop).result(timeout=30)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(timeout=10)
    loop.close()
