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


def until(look, done, *, timeout_s=120.0):
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


def say(what):
    print(f"{time.monotonic():.1f} {what}", file=sys.stderr, flush=True)
