"""Runs that a command is given: ids of the server's, or folders of exported ones."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modiste import settings
from modiste.client import Client, connect
from modiste.errors import Conflict

if TYPE_CHECKING:
    from modiste.evaluate.record import Run

RUNS = "/v1/evals/runs"
OneRun = Annotated[str, typer.Argument(help="Id of a run, or a folder of an exported one.")]


def loaded(names: Sequence[str]) -> list[Run]:
    """Folders as they are; ids from the server, which is asked only where there are any."""
    from modiste.evaluate.stored import read

    with ExitStack() as stack:
        client: Client | None = None
        found = []
        for name in names:
            if Path(name).is_dir():
                found.append(read(Path(name)))
                continue
            client = client or stack.enter_context(connect(settings.load()))
            found.append(_fetched(client, name))
        return found


def _fetched(client: Client, run_id: str) -> Run:
    from modiste.evaluate.stored import run_of

    told = client.get(f"{RUNS}/{run_id}")
    if told["status"] != "SUCCESS":
        raise Conflict(
            f"run {told['id']} is {told['status']}; only one that ended with SUCCESS says anything",
            param="run",
        )
    lines = b"".join(client.content(f"{RUNS}/{run_id}/samples"))
    return run_of(told, lines, file=f"run {told['id']}")
