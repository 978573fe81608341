"""Both wires on free ports, over a scripted language, in a loop of their own thread."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from modiste import settings as settings_module

sys.path.insert(0, str(Path(__file__).parent))
from scripted_language import Language

from modiste.sql.wires import Wires

T = TypeVar("T")
LIMIT = 100


@dataclass
class Wired:
    language: Language
    wires: Wires
    mysql: int
    postgres: int
    certificate: Path
    loop: asyncio.AbstractEventLoop

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """In the loop of the servers."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout=30)


@pytest.fixture(scope="module")
def wired(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wired]:
    home = tmp_path_factory.mktemp("wires")
    flags = {
        "home": home,
        "sql_mysql_port": 0,
        "sql_postgres_port": 0,
        "sql_max_connections": LIMIT,
        "sql_idle_timeout_s": 60.0,
    }
    settings = settings_module.load(flags, environment={})
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    language = Language()
    wires = Wires(settings, language.entrance())
    asyncio.run_coroutine_threadsafe(wires.start(), loop).result(timeout=30)
    mysql, postgres = wires.ports["mysql"], wires.ports["postgres"]
    yield Wired(language, wires, mysql, postgres, home / "sql.crt", loop)
    asyncio.run_coroutine_threadsafe(wires.close(drain_s=0), loop).result(timeout=30)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(timeout=10)
    loop.close()


@pytest.fixture
def language(wired: Wired) -> Language:
    """Of the servers, with nothing remembered and nobody connected."""
    deadline = time.monotonic() + 10
    while wired.wires.n_open and time.monotonic() < deadline:
        time.sleep(0.005)
    for kept in (wired.language.ran, wired.language.cancelled, wired.language.described):
        kept.clear()
    wired.language.revoked.clear()
    return wired.language
