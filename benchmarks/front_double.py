"""An engine that computes nothing: it speaks `serve.protocol` on a home's socket, and counts.

    python benchmarks/front_double.py RUN_FOLDER [--tokens-per-s 20]

What it says is its request's seed and then the numbers from zero on, "7: 0 1 2 3 …", one token per
event, `max_tokens` in all: a token that is lost, doubled, out of order or somebody else's shows in
the text. With a pace it speaks in steps, one token of everybody at a time and in one frame, as the
engine does, and nobody gets one until `SETTLED_S` after the last one came, so that all are there at
the same time. Without a pace everything is said at once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import modiste.bases.tiny
from modiste.prepare import render
from modiste.serve import protocol
from modiste.serve.sequence import Event, Finished, FinishReason, Tokens

SETTLED_S = 0.5
TINY = Path(modiste.bases.tiny.__file__).parent
Running = dict[tuple[asyncio.StreamWriter, int], list[Event]]
"""What is still to be said, under which number to whom."""


@lru_cache(maxsize=1024)
def spoken_ids(seed: int, n_tokens: int) -> tuple[int, ...]:
    text = f"{seed}: " + " ".join(map(str, range(n_tokens)))
    return tuple(_renderer().encode(text)[:n_tokens])


def spoken(seed: int, n_tokens: int) -> str:
    """The text of the answer."""
    decoder = _renderer().stream_decoder(continuing=False)
    return decoder.push(spoken_ids(seed, n_tokens)) + decoder.flush()


@lru_cache(maxsize=1)
def _renderer() -> render.Renderer:
    return render.load(TINY)


async def serve(folder: Path, tokens_per_s: float) -> None:
    """Until it is killed."""
    running: Running = {}
    clock = asyncio.get_running_loop().time
    last_came_at = clock()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal last_came_at
        unframer = protocol.Unframer()
        while data := await reader.read(1 << 18):
            for message in unframer.feed(data):
                key = (writer, message["id"])
                if message["op"] == "generate" and tokens_per_s:
                    running[key], last_came_at = _events(message), clock()
                elif message["op"] == "generate":
                    _say(writer, [(message["id"], event) for event in _events(message)])
                elif message["op"] == "abort":
                    running.pop(key, None)

    path = folder / "double.sock"
    _renderer()
    await asyncio.start_unix_server(listen, path)
    record = {"pid": os.getpid(), "socket": str(path)}
    (folder / protocol.ENGINE_FILE).write_text(json.dumps(record))
    due = clock()
    while True:
        due += 1 / tokens_per_s if tokens_per_s else 3600
        await asyncio.sleep(due - clock())
        if clock() > last_came_at + SETTLED_S:
            _step(running)


def _step(running: Running) -> None:
    frames: dict[asyncio.StreamWriter, list[tuple[int, Event]]] = {}
    for (writer, number), events in list(running.items()):
        told = frames.setdefault(writer, [])
        told.append((number, events.pop(0)))
        if len(events) == 1:  # The end comes with the last token.
            told.append((number, events.pop()))
            del running[writer, number]
    for writer, told in frames.items():
        _say(writer, told)


def _say(writer: asyncio.StreamWriter, told: list[tuple[int, Event]]) -> None:
    events = [protocol.event_to_wire(event, number) for number, event in told]
    writer.write(protocol.encode({"events": events}))


def _events(message: dict[str, Any]) -> list[Event]:
    sampling = message["sampling"]
    ids = spoken_ids(sampling["seed"], sampling["max_tokens"])
    told: list[Event] = [Tokens("", (token,)) for token in ids]
    return [*told, Finished("", FinishReason.LENGTH, len(ids))]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tokens-per-s", type=float, default=0.0)
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.folder, arguments.tokens_per_s))


if __name__ == "__main__":
    main()
