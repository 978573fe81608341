"""Create one virtual environment per stock client in `.clients/<name>-<version>/`.

Run by `make clients`. The environments hold what a user of that client generation installs and
nothing of Modiste, so the walks prove the wire and not our own code. A stamp file makes a second
run free; a half-made environment (no stamp) is made again from nothing.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
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
)


def client_dir(name: str, version: str) -> Path:
    return CLIENTS_DIR / f"{name}-{version}"


def client_python(name: str, version: str) -> Path | None:
    """The interpreter of a finished environment, or None while it is not made."""
    folder = client_dir(name, version)
    return folder / "bin" / "python" if (folder / "made").is_file() else None


def make(name: str, version: str) -> None:
    folder = client_dir(name, version)
    if (folder / "made").is_file():
        print(f"{folder.name}: there")
        return
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "-q"]
    subprocess.run([*pip, "install", f"{name}=={version}"], check=True)
    (folder / "made").write_text(f"{name}=={version}\n", encoding="utf-8")
    print(f"{folder.name}: made")


def main() -> int:
    for name, version in CLIENTS:
        make(name, version)
    return 0


if __name__ == "__main__":
    sys.exit(main())
