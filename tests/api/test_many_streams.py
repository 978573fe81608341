"""Five hundred streams at once through a real front: nothing lost, nothing doubled, nothing left.

Front, engine's double and client are those of `benchmarks/front.py`, which also says how fast this
goes. What the double says counts its tokens and names its request, so that every fault shows.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from front_client import Answer, Client, Front

from modiste.store.database import MOST_CONNECTIONS

N_STREAMS, N_TOKENS = 500, 20
N_OWN_SOCKETS = 4
"""Where it listens, to the engine, and the loop's own pair."""
pytestmark = pytest.mark.slow


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Front]:
    running = Front(tmp_path, tokens_per_s=20.0)
    yield running
    running.close()


async def all_at_once(front: Front, n_streams: int = N_STREAMS) -> list[Answer]:
    client = Client(front)
    asked = (client.ask(client.chat(n, N_TOKENS, stream=True)) for n in range(n_streams))
    answers = await asyncio.gather(*asked)
    client.close()
    return answers


def files_at_rest(front: Front) -> Counter[str]:
    """Without connections of clients, the last of which may still be closing."""
    deadline = time.monotonic() + 60
    while (files := front.open_files())["socket"] > N_OWN_SOCKETS and time.monotonic() < deadline:
        time.sleep(0.05)
    return files


def test_five_hundred_streams_lose_and_double_no_event_and_leave_no_file_open(
    front: Front,
) -> None:
    asyncio.run(all_at_once(front, 1))
    before = files_at_rest(front)
    answers = asyncio.run(all_at_once(front))
    faults = [answer.fault_of_stream(seed, N_TOKENS) for seed, answer in enumerate(answers)]
    assert [fault for fault in faults if fault] == []
    begun = max(answer.arrived_at[0] for answer in answers)
    ended = min(answer.arrived_at[-1] for answer in answers)
    assert begun < ended, "they were not all open at once"
    gained = files_at_rest(front) - before
    # Connections to the database are kept, with a file and its log each, up to their limit.
    assert set(gained) <= {"modiste.db", "modiste.db-wal"}
    assert max(gained.values(), default=0) < MOST_CONNECTIONS
