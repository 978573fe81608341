"""Create one virtual environment per stock client in `.clients/<name>-<version>/`.

Run by `make clients`. The environments hold what a user of that client generation installs and
nothing of Modiste, so the walks prove the wire and not our own code. A stamp file makes a second
run free; a half-made environment (no stamp) is made again from nothing. Without a network the walks
are skipped, unless REQUIRE_STOCK_CLIENTS is set: then a missing client is a failure.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

CLIENTS_DIR = Path(__file__).resolve().parents[2] / ".clients"

CLIENTS = (
    ("mistralai", "0.4.2"),
    ("mistralai", "1.2.6"),
    ("mistralai", "1.12.4"),
    ("mistralai", "2.5.1"),
    ("mistralai", "3.7.0"),
    ("openai", "1.109.1"),
    ("openai", "3.52.0"),
    ("lm-eval", "0.4.13"),
    ("mindsdb_sdk", "3.5.0"),
    ("schemathesis", "4.32.5"),
)
NEEDS = {"lm-eval": ("[api]", "transformers==5.24.0")}
"""Extras, and what else its users install; nothing that brings torch."""


def client_dir(name: str, version: str) -> Path:
    return CLIENTS_DIR / f"{name}-{version}"


def client_python(name: str, version: str) -> Path | None:
    """The interpreter of a finished environment, or None while it is not made."""
    folder = client_dir(name, version)
    return folder / "bin" / "python" if (folder / "made").is_file() else None


def make(name: str, version: str) -> bool:
    """Whether the environment is there now."""
    folder = client_dir(name, version)
    if (folder / "made").is_file():
        return True
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    pip += ["--python", str(folder / "bin" / "python")]
    extras, *others = NEEDS.get(name, ("",))
    wanted = [f"{name}{extras}=={version}", *others]
    if subprocess.run([*pip, "install", *wanted], check=False).returncode:
        return False
    (folder / "made").write_text(f"{name}=={version}\n", encoding="utf-8")
    print(f"{folder.name}: made")
    return True


def main() -> int:
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(lambda client: make(*client), CLIENTS))
    missing = [" ".join(client) for client, there in zip(CLIENTS, made, strict=True) if not there]
    if missing:
        print(f"Not installed: {', '.join(missing)}. Their walks are skipped.", file=sys.stderr)
    return int(bool(missing and os.environ.get("REQUIRE_STOCK_CLIENTS")))


if __name__ == "__main__":
    sys.exit(main())
