"""Which vendor's words a request speaks, and which generation of a client sent it.

The choice, in this order: an explicit mount (`/openai/v1`, `/mistral/v1`) or a path that only one
vendor has, the `User-Agent` or any
`x-stainless-*` header of the openai client, a job body with `training_file` but no
`training_files` (the door of the jobs calls `switch`), and Mistral where nothing says otherwise.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any

from starlette.requests import HTTPConnection

OPENAI_AGENTS = ("openai/", "asyncopenai/")
OPENAI_PATHS = ("/v1/batches",)
"""Paths that only OpenAI has."""
MISTRAL_0 = "mistral-client-python/0."
MISTRAL_WITHOUT_THOUGHTS = re.compile(r"mistral-client-python/(0|1\.[0-9])\.")
"""Clients that cannot parse chunks of thoughts: some 1.9 can, all from 1.10 on."""
MISTRAL_CLOSED_ENUMS = (MISTRAL_0, "mistral-client-python/1.0.", "mistral-client-python/1.1.")


class Dialect(StrEnum):
    MISTRAL = "mistral"
    OPENAI = "openai"


MOUNTS = {"/v1": None, "/mistral/v1": Dialect.MISTRAL, "/openai/v1": Dialect.OPENAI}
"""Every path the vendor surface is served under, and the dialect that the path settles."""


def of(request: HTTPConnection) -> Dialect:
    """The dialect of a request; `switch` overrules it."""
    switched: Dialect | None = getattr(request.state, "dialect", None)
    if switched is not None:
        return switched
    path: str = request.scope["path"]
    for mount, dialect in MOUNTS.items():
        if dialect is not None and path.startswith(f"{mount}/"):
            return dialect
    if path.startswith(OPENAI_PATHS):
        return Dialect.OPENAI
    agent = request.headers.get("user-agent", "").lower()
    if agent.startswith(OPENAI_AGENTS) or any(
        name.startswith("x-stainless-") for name in request.headers
    ):
        return Dialect.OPENAI
    return Dialect.MISTRAL


def switch(request: HTTPConnection, body: Any) -> Dialect:
    """The dialect after a look at a job body; the answer, an error included, keeps it."""
    explicit = not request.scope["path"].startswith("/v1/")
    named = set(body) if isinstance(body, dict) else set()
    if not explicit and "training_file" in named and "training_files" not in named:
        request.state.dialect = Dialect.OPENAI
    return of(request)


def is_mistral_0(request: HTTPConnection) -> bool:
    """The 0.x client: it knows seven statuses, one purpose, and expects jobs to start."""
    return request.headers.get("user-agent", "").lower().startswith(MISTRAL_0)


def knows_no_thoughts(request: HTTPConnection) -> bool:
    """Clients that fail on an answer whose content holds thoughts."""
    agent = request.headers.get("user-agent", "").lower()
    return MISTRAL_WITHOUT_THOUGHTS.match(agent) is not None


def has_closed_enums(request: HTTPConnection) -> bool:
    """Clients that fail on a whole list when one item has a purpose or type they do not know."""
    return request.headers.get("user-agent", "").lower().startswith(MISTRAL_CLOSED_ENUMS)


def needs_batch_model(request: HTTPConnection) -> bool:
    """Clients of Mistral's first generation that cannot read a batch without a `model`."""
    agent = request.headers.get("user-agent", "").lower()
    return agent.startswith("mistral-client-python/1.")
