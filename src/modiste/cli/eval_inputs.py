"""Runs that a command is given: ids of the server's, or folders of exported ones."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modiste import settings
from modiste.cli.runs import fetched
from modiste.client import Client, connect

if TYPE_CHECKING:
    from modiste.evaluate.record import Run

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
            found.append(fetched(client, name))
        return found
