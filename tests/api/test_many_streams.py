"""Five hundred streams at once through a real front: nothing lost, nothing doubled, nothing left.

Front, engine's double and client are those of `benchmarks/front.py`, which also says how fast this
goes. What the double says counts its tokens and names its request, so that every fault shows.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from front_client import Answer, Client, Front

N_STREAMS, N_TOKENS = 500, 20
pytestmark = pytest.mark.slow
"""Ten seconds, most of them the start of the front and its half a core per thousand events/s."""


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Front]:
    running = Front(tmp_path, tokens_per_s=10.0)
    yield running
    running.close()


async def all_at_once(front: Front) -> list[Answer]:
    client = Client(front)
    asked = [
        asyncio.ensure_future(client.ask(client.chat(seed, N_TOKENS, stream=True)))
        for seed in range(N_STREAMS)
    ]
    answers = await asyncio.gather(*asked)
    client.close()
    return answers


def test_five_hundred_streams_lose_and_double_no_event_and_leave_no_file_open(
    front: Front,
) -> None:
    answers = asyncio.run(all_at_once(front))
    faults = [answer.fault_of_stream(seed, N_TOKENS) for seed, answer in enumerate(answers)]
    assert [fault for fault in faults if fault] == []
    begun = max(answer.arrived_at[0] for answer in answers)
    ended = min(answer.arrived_at[-1] for answer in answers)
    assert begun < ended, "they were not all open at once"
