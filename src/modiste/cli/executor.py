"""`--executor`, `--processes` and `--ray-address`: where jobs train, for `up` and `tune` alike.

They are settings of the server (MODISTE_EXECUTOR, …), so a command that finds a server running
cannot change them, and says so.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from modiste.cli.output import say
from modiste.settings import Executor, Settings

Where = Annotated[
    Executor | None,
    typer.Option(
        "--executor",
        help="Where a job trains: one process (local), one per GPU of this machine (torchrun), a "
        "Ray cluster (ray).",
    ),
]
Processes = Annotated[
    int | None,
    typer.Option("--processes", help="Processes that train one job; default one per GPU."),
]
RayAddress = Annotated[
    str | None,
    typer.Option("--ray-address", help="Ray cluster; default one on this machine."),
]


def flags(
    executor: Executor | None, processes: int | None, ray_address: str | None
) -> dict[str, Any]:
    """As `settings.load` takes them."""
    return {"executor": executor, "train_processes": processes, "ray_address": ray_address}


def say_unheard(settings: Settings, *, standing: bool) -> None:
    """Flags for a server of our own, where one runs already: it keeps its own."""
    names = ("executor", "train_processes", "ray_address")
    if standing and any(settings.source_of(name) == "flag" for name in names):
        say(
            "--executor, --processes and --ray-address are not heard: a server runs already, and "
            "trains where its own settings say (`modiste up --executor …`)."
        )
