"""lm-evaluation-harness as a program of its own: its environment, its command, its end.

It is never imported: it lives in a virtual environment (`<home>/tools/lm-eval`, or one that is
named) and asks the endpoint like any client. All it is told stands in a YAML file beside its
results, except the key, which is in its environment alone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from modiste.cli.output import say
from modiste.errors import InvalidInput, NotFound, Unavailable

VERSION = "0.4.13"
WANTED = (f"lm-eval[api]=={VERSION}", "transformers==5.24.0")
"""transformers reads tokenizers; scoring over HTTP needs no torch."""
OLDEST = (0, 4, 10)
"""The first with `lm-eval run --config`."""
MADE = "made"
LAST_LINES = 12
CONFIG, LOG = "lm-eval.yaml", "lm-eval.log"


def interpreter(folder: Path, *, make: bool) -> Path:
    """The Python of an environment that has the harness.

    Args:
        make: an environment that is missing or was left half-made is made anew.

    Raises:
        NotFound: no environment, or none with the harness in it.
        Unavailable: it could not be made; says what to type.
        InvalidInput: the harness there is too old.
    """
    if make and not (folder / MADE).is_file():
        _made(folder)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.is_file():
        raise NotFound(f"{folder} is no virtual environment: {python} is missing", param="venv")
    found = version_in(python)
    if found is None:
        raise NotFound(f"{folder} has no lm-eval. Type: {_install(python)}", param="venv")
    if tuple(int(part) for part in found.split(".")[:3] if part.isdigit()) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise InvalidInput(
            f"{folder} has lm-eval {found}, and {oldest} is needed. Type: {_install(python)}",
            param="venv",
        )
    return python


def version_in(python: Path) -> str | None:
    """None where there is no harness."""
    asks = "import importlib.metadata as m; print(m.version('lm_eval'))"
    done = subprocess.run([python, "-I", "-c", asks], capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def run(python: Path, config: Mapping[str, Any], folder: Path, *, key: str | None) -> None:
    """Run the harness to its end, showing what it says; its results are below `folder`.

    Raises:
        Unavailable: it ended without results; with its last words. Code `lm_eval_failed`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    told = folder / CONFIG
    told.write_text(yaml.safe_dump({**config, "output_path": str(folder)}), encoding="utf-8")
    command = [str(python), "-I", "-m", "lm_eval", "run", "--config", str(told)]
    log = folder / LOG
    with log.open("wb") as kept:
        code = _shown(command, environment(key), kept)
    if code or not any(folder.rglob("results_*.json")):
        last = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:]
        said = "\n".join(line.rsplit("\r", 1)[-1] for line in last)
        raise Unavailable(
            f"lm-eval ended with exit code {code}; all it said is in {log}:\n{said}",
            code="lm_eval_failed",
        )


def environment(key: str | None) -> dict[str, str]:
    """Ours, with the key where the harness looks for it and without our own variables."""
    found = {name: value for name, value in os.environ.items() if not name.startswith("MODISTE_")}
    here = [each for each in (found.get("NO_PROXY"), "127.0.0.1", "localhost") if each]
    return {**found, "OPENAI_API_KEY": key or "none", "NO_PROXY": ",".join(here)}


def _shown(command: list[str], env: Mapping[str, str], log: Any) -> int:
    """Its exit code; what it writes goes to standard error and into the log as it comes."""
    reading, writing = os.pipe()
    child = subprocess.Popen(command, env=env, stdout=writing, stderr=writing)
    os.close(writing)
    try:
        while chunk := os.read(reading, 8192):
            log.write(chunk)
            sys.stderr.write(chunk.decode("utf-8", errors="replace"))
            sys.stderr.flush()
        return child.wait()
    finally:
        os.close(reading)
        if child.poll() is None:
            child.terminate()
            child.wait()


def _made(folder: Path) -> None:
    say(f"Installing {WANTED[0]} into {folder}: once, about 1 GB, some minutes …")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        venv.create(folder, with_pip=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Unavailable(
            f"no virtual environment could be made in {folder}: {error}. On Debian: apt-get "
            "install python3-venv; or name one that has lm-eval with --venv"
        ) from None
    python = folder / "bin" / "python"
    command = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "-q", *WANTED]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-LAST_LINES:])
        raise Unavailable(
            f"lm-eval could not be installed; pip said:\n{said}\nWhere there is a network, type:\n"
            f"  python3 -m venv DIR && {_install(Path('DIR/bin/python'))}\n"
            "and give the folder with --venv DIR",
            code="lm_eval_not_installed",
        )
    (folder / MADE).write_text(" ".join(WANTED) + "\n", encoding="utf-8")


def _install(python: Path) -> str:
    return f"{python} -m pip install " + " ".join(f"'{each}'" for each in WANTED)
