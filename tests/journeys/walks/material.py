"""What every walk needs, for whichever Python environment runs it: standard library only."""

from __future__ import annotations

import json
import os
import re
import sys
import time

URL = os.environ["WALK_URL"]
KEY = os.environ["WALK_KEY"]
BASE = "open-mistral-7b"
TUNED_NAME = re.compile(r"ft:open-mistral-7b:[0-9a-f]{8}:\d{8}:(?:([^:]+):)?([0-9a-f]{8})")
STATUSES = {
    "QUEUED", "STARTED", "VALIDATING", "VALIDATED", "RUNNING", "FAILED_VALIDATION", "FAILED",
    "SUCCESS", "CANCELLED", "CANCELLATION_REQUESTED",
}  # fmt: skip

TRACK = {
    "type": "function",
    "function": {
        "name": "track",
        "description": "Where an order is",
        "parameters": {
            "type": "object",
            "properties": {
                "order": {"type": "string", "maxLength": 8},
                "express": {"type": "boolean"},
            },
            "required": ["order", "express"],
            "additionalProperties": False,
        },
    },
}
COLOUR = {
    "type": "object",
    "properties": {"colour": {"enum": ["red", "green"]}, "n": {"enum": [1, 2]}},
    "required": ["colour", "n"],
    "additionalProperties": False,
}
WHERE = {"role": "user", "content": "Where is my order 7?"}


def rows(tag, *, start=0, stop=40):
    """JSONL of small sums; `tag` makes the content, and so the job, unlike every other."""
    lines = []
    for i in range(start, stop):
        a, b = i % 8, i // 8
        lines.append(
            {
                "messages": [
                    {"role": "user", "content": f"[{tag}] What is {a} plus {b}?"},
                    {"role": "assistant", "content": f"It is {a + b}."},
                ]
            }
        )
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def expect(condition, *shown):
    """An assertion that says what it saw, also under `python -O`."""
    if not condition:
        raise AssertionError(f"unexpected: {shown!r}")


def same(found, wanted):
    expect(found == wanted, found, wanted)


def raises(kind, call, *args, **kwargs):
    """The error that a call must raise."""
    try:
        result = call(*args, **kwargs)
    except kind as error:
        return error
    raise AssertionError(f"no {kind} from {call}, but {result!r}")


def until(look, done, *, timeout_s=240.0):
    """Every state that `look` showed until `done`, consecutive repetitions left out."""
    seen = []
    deadline = time.monotonic() + timeout_s
    while True:
        state = look()
        if not seen or state != seen[-1]:
            seen.append(state)
        if done(state):
            return seen
        expect(time.monotonic() < deadline, f"not done after {timeout_s} s", seen)
        time.sleep(0.1)


def called(call):
    """A call of TRACK that follows its schema, however much the model would rather talk."""
    arguments = json.loads(call.function.arguments)
    same((call.function.name, set(arguments)), ("track", {"order", "express"}))
    expect(isinstance(arguments["express"], bool) and len(arguments["order"]) <= 8, arguments)
    expect(re.fullmatch("[a-zA-Z0-9]{9}", call.id), call)
    return call.id, call.function.name, call.function.arguments


def coloured(text):
    """JSON that follows COLOUR."""
    found = json.loads(text)
    same(set(found), {"colour", "n"})
    expect(found["colour"] in ("red", "green") and found["n"] in (1, 2), found)
    return found


def say(what):
    print(f"{time.monotonic():.1f} {what}", file=sys.stderr, flush=True)
