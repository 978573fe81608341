"""`modiste up`: the server in the foreground, until Ctrl-C."""

from __future__ import annotations

import ipaddress
import json
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from modiste import settings
from modiste.cli.executor import Processes, RayAddress, Where
from modiste.cli.executor import flags as executor_flags
from modiste.cli.output import AsJson, printable
from modiste.settings import Settings
from modiste.work.supervisor import Ready, Supervisor

app = typer.Typer(add_completion=False)


@app.command()
def up(
    home: Annotated[Path | None, typer.Option(help="Where everything is kept.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 picks a free one.")] = None,
    workers: Annotated[int | None, typer.Option(help="Jobs that may run at a time.")] = None,
    executor: Where = None,
    processes: Processes = None,
    ray_address: RayAddress = None,
    as_json: AsJson = False,
) -> None:
    """Start the server: front, worker and engine. Ctrl-C drains and stops it, twice kills it.

    A part that dies is started again. Defaults come from MODISTE_HOME, MODISTE_HOST, … or from
    modiste.yaml in the home folder.
    """
    flags = {"home": home, "host": host, "port": port, "workers": workers}
    wanted = settings.load(flags | executor_flags(executor, processes, ray_address))
    terminal = Terminal(wanted, as_json=as_json)
    supervisor = Supervisor(wanted, report=terminal.report)
    _obey_signals(supervisor, terminal)
    terminal.starting()
    supervisor.run(terminal.ready)
    terminal.stopped()


def _obey_signals(supervisor: Supervisor, terminal: Terminal) -> None:
    """First Ctrl-C, SIGTERM or hang-up: drain. The next one: kill."""
    asked = False

    def obey(number: int, frame: Any) -> None:
        nonlocal asked
        if asked:
            terminal.killing()
            supervisor.kill()
        else:
            asked = True
            terminal.stopping()
            supervisor.stop()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, obey)


class Terminal:
    """Everything `up` says. With --json, one object per line: {"event": …}."""

    def __init__(self, wanted: Settings, *, as_json: bool) -> None:
        self._settings, self._as_json = wanted, as_json

    def report(self, line: str) -> None:
        self._write("report", printable(line), line=line)

    def starting(self) -> None:
        warning = exposure_warning(self._settings.host)
        if warning is not None:
            self._write("warning", f"Warning: {warning}", line=warning)
        n = self._settings.workers
        workers = "no worker: jobs will wait" if n == 0 else f"{n} worker{'s' if n > 1 else ''}"
        self._write("starting", f"Starting front, engine and {workers} in {self._settings.home} …")

    def ready(self, ready: Ready) -> None:
        text = f"Modiste is ready at {ready.url}" + sql_clients(ready)
        if ready.new_admin_key:
            text += first_steps(self._settings, ready.url)
        text += "\nCtrl-C stops it."
        self._write(
            "ready",
            text,
            url=ready.url,
            home=str(self._settings.home),
            admin_key_file=str(self._settings.admin_key_file),
            new_admin_key=ready.new_admin_key,
            sql=dict(ready.sql),
        )

    def stopping(self) -> None:
        limit = self._settings.drain_timeout_s
        self._write(
            "stopping",
            f"\nStopping: requests finish, jobs go back to the queue (at most {limit:.0f} s; "
            "again to kill) …",
        )

    def killing(self) -> None:
        self._write("killing", "Killing everything.")

    def stopped(self) -> None:
        self._write("stopped", "Stopped. Nothing is lost; `modiste up` goes on from here.")

    def _write(self, event: str, text: str, **facts: Any) -> None:
        try:
            print(json.dumps({"event": event, **facts}) if self._as_json else text, flush=True)
        except OSError:
            # The terminal is gone (hang-up, closed pipe); the server is not to die of that.
            sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def sql_clients(ready: Ready) -> str:
    """Where SQL clients connect; nothing where they cannot."""
    host = urlsplit(ready.url).hostname
    told = {"mysql": "MySQL", "postgres": "PostgreSQL"}
    each = [f"{told[wire]} clients at {host}:{port}" for wire, port in ready.sql.items()]
    return f"\n{', '.join(each)} (docs/sql-clients.md)" if each else ""


def exposure_warning(host: str) -> str | None:
    """What it means to listen on this address; None for loopback."""
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if loopback:
        return None
    return (
        f"listening on {host}: whoever reaches this machine and has a key can use it, and keys "
        "travel unencrypted. Put a proxy with TLS in front, or use --host 127.0.0.1."
    )


def first_steps(wanted: Settings, url: str) -> str:
    """What to do with the first admin key; the key itself is never printed."""
    if wanted.source_of("home") == "default":
        found = "The modiste command on this machine finds it by itself."
    else:
        found = f"For the modiste command: export MODISTE_HOME={wanted.home}"
    return f"""

An admin key was created in {wanted.admin_key_file} (only you can read it).
{found}
For other clients:
  export MISTRAL_API_KEY=$(cat {wanted.admin_key_file})
  curl {url}/v1/models -H "Authorization: Bearer $MISTRAL_API_KEY"
Keys for others: modiste keys create NAME --scope infer
"""
