"""`modiste doctor`: what is installed, what is missing, what to do; a line each.

Looks and changes nothing: no package is imported that is heavy, no folder is made, no server
started. Exit code 1 when something that is needed here is missing.
"""

from __future__ import annotations

import os
import platform
import shutil
import stat
from collections.abc import Iterator
from enum import StrEnum
from importlib import metadata, resources
from pathlib import Path
from typing import NamedTuple

import typer

from modiste import settings
from modiste.cli.output import AsJson, print_json, size
from modiste.errors import ModisteError
from modiste.settings import Settings

app = typer.Typer(add_completion=False)

ENGINES = ("torch", "transformers", "safetensors")
OPTIONAL = {
    "huggingface_hub": "base models from the hub (models add --path hub:…)",
    "psycopg": "PostgreSQL as the database",
    "uvloop": "a faster front",
}
SHIPPED = ("config.json", "model.safetensors", "tokenizer.json")
GIB = 1024**3
DISK_NEEDED, DISK_WISHED = GIB // 2, 5 * GIB
MEMORY_NEEDED, MEMORY_WISHED = GIB // 2, 4 * GIB
CPU_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve", "bf16")


class State(StrEnum):
    OK = "ok"
    NOTE = "note"
    """Not needed here, or worth knowing."""
    MISSING = "missing"


class Finding(NamedTuple):
    name: str
    state: State
    found: str
    to_do: str = ""


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """What is installed, what is missing, what to do; exit code 1 when something is missing."""
    wanted = settings.load()
    findings = [*_installed(wanted), *_machine(wanted), *_home(wanted), *_server(wanted)]
    if as_json:
        print_json([finding._asdict() for finding in findings])
    else:
        for finding in findings:
            _print(finding)
    if any(finding.state is State.MISSING for finding in findings):
        raise typer.Exit(1)


def _print(finding: Finding) -> None:
    color = {State.OK: "green", State.NOTE: "yellow", State.MISSING: "red"}[finding.state]
    typer.secho(f"{finding.state:<8}", fg=color, nl=False)
    typer.echo(f"{finding.name:<16} {finding.found}")
    if finding.to_do:
        typer.echo(f"{'':<24} → {finding.to_do}")


def _installed(wanted: Settings) -> Iterator[Finding]:
    yield Finding("python", State.OK, platform.python_version())
    missing = State.MISSING if wanted.url is None else State.NOTE
    for package in ENGINES:
        found = _version(package)
        if found:
            yield Finding(package, State.OK, found)
        else:
            to_do = "pip install 'modiste[local]' (tuning and serving on this machine)"
            yield Finding(package, missing, "not installed", to_do)
    for package, purpose in OPTIONAL.items():
        found = _version(package)
        state = State.OK if found else State.NOTE
        yield Finding(package, state, found or f"not installed; only for {purpose}")


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _machine(wanted: Settings) -> Iterator[Finding]:
    import psutil

    flags = _cpu_flags()
    able = f"{os.cpu_count()} cores" + (f", {' '.join(flags)}" if flags else "")
    vectors = {"avx2", "avx512f", "asimd", "sve"} & set(flags)
    if vectors or not Path("/proc/cpuinfo").exists():
        yield Finding("processor", State.OK, able)
    else:
        yield Finding("processor", State.NOTE, able, "without AVX2 tuning is several times slower")
    available = psutil.virtual_memory().available
    yield _enough("memory", available, MEMORY_NEEDED, MEMORY_WISHED, "free", "close programs")
    free = shutil.disk_usage(_existing(wanted.home)).free
    where = f"free in {wanted.home}"
    yield _enough("disk", free, DISK_NEEDED, DISK_WISHED, where, "free some, or set MODISTE_HOME")


def _cpu_flags() -> list[str]:
    try:
        words = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        return []
    return [flag for flag in CPU_FLAGS if flag in words]


def _enough(name: str, found: int, needed: int, wished: int, what: str, to_do: str) -> Finding:
    text = f"{size(found)} {what}"
    if found < needed:
        return Finding(name, State.MISSING, text, f"at least {size(needed)} are needed: {to_do}")
    if found < wished:
        return Finding(name, State.NOTE, text, f"{size(wished)} are comfortable for a 1B model")
    return Finding(name, State.OK, text)


def _existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _home(wanted: Settings) -> Iterator[Finding]:
    source = wanted.source_of("home")
    if not wanted.home.exists():
        parent = _existing(wanted.home)
        if os.access(parent, os.W_OK):
            yield Finding("home", State.OK, f"{wanted.home} ({source}), made at the first start")
        else:
            to_do = "set MODISTE_HOME to a folder you can write"
            yield Finding("home", State.MISSING, f"{parent} is not writable", to_do)
        return
    if not os.access(wanted.home, os.W_OK):
        to_do = "set MODISTE_HOME to a folder you can write"
        yield Finding("home", State.MISSING, f"{wanted.home} is not writable", to_do)
        return
    yield Finding("home", State.OK, f"{wanted.home} ({source})")
    key = wanted.admin_key_file
    if key.exists() and stat.S_IMODE(key.stat().st_mode) & 0o077:
        to_do = f"chmod 600 {key}"
        yield Finding("admin key", State.MISSING, f"{key} can be read by others", to_do)
    elif key.exists():
        yield Finding("admin key", State.OK, str(key))


def _server(wanted: Settings) -> Iterator[Finding]:
    from modiste.work import home

    server = home.read_server_file(wanted)
    url = wanted.url or (server.url if server is not None else None)
    folder = resources.files("modiste.bases") / "tiny"
    lacking = [name for name in SHIPPED if not (folder / name).is_file()]
    if lacking:
        to_do = "install the package again"
        yield Finding("modiste-tiny", State.MISSING, f"lacks {', '.join(lacking)}", to_do)
    else:
        yield Finding("modiste-tiny", State.OK, "the base model that ships is complete")
    if url is None:
        yield Finding("server", State.NOTE, "none runs for this home", "modiste up")
        return
    health = home.probe(url)
    if not health.ok:
        state = State.MISSING
        yield Finding("server", state, health.reason, f"see the logs in {wanted.process_dir}")
        return
    yield Finding("server", State.OK, f"{url} is healthy")
    yield from _models(wanted)


def _models(wanted: Settings) -> Iterator[Finding]:
    from modiste.client import connect

    try:
        with connect(wanted) as client:
            cards = client.get("/v1/models")["data"]
    except ModisteError as error:
        yield Finding("models", State.MISSING, error.message)
        return
    bases = [card["id"] for card in cards if card["type"] == "base"]
    tuned = len(cards) - len(bases)
    yield Finding("models", State.OK, f"base: {', '.join(bases) or 'none'}; {tuned} tuned")
