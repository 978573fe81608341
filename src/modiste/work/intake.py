"""Uploads are looked into: small files where they arrive, large ones in a child process.

A check is work for a whole processor, and the front has answers to stream: so a large file is read
elsewhere, where nothing that it holds can hurt. `python -m modiste.work.intake FOLDER` is the
child: it reads FOLDER/request.json and leaves answer.json, and beside it report and rows.
"""

from __future__ import annotations

import json
import shutil
import sys
import threading
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from modiste.actions.file_checks import Examined, Refused, examine
from modiste.errors import ModisteError
from modiste.types import Problem
from modiste.work.child import processors
from modiste.work.local import Child, write_json

IN_PROCESS_BYTES = 256 << 10
"""Below this, starting a process takes longer than the check."""
AT_ONCE = 2
REQUEST, ANSWER, REPORT, ROWS = "request.json", "answer.json", "report", "rows"
PROBLEMS: TypeAdapter[tuple[Problem, ...]] = TypeAdapter(tuple[Problem, ...])


class Intake:
    """Looks into files, a few large ones at a time."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._free = threading.BoundedSemaphore(AT_ONCE)

    def examine(self, path: Path, filename: str) -> Examined | Refused:
        """Call it from a thread that may wait.

        Raises:
            ModisteError: the check itself died; what it said last is in the message.
        """
        if path.stat().st_size <= IN_PROCESS_BYTES:
            return examine(path, filename)
        folder = path.with_name(f"{path.name}-{uuid.uuid4().hex[:8]}")
        try:
            with self._free:
                return self._elsewhere(folder, path, filename)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _elsewhere(self, folder: Path, path: Path, filename: str) -> Examined | Refused:
        write_json(folder / REQUEST, {"path": str(path), "filename": filename})
        reader = Child.start(
            "modiste.work.intake", folder, environment=self._environment, log_name="log"
        )
        try:
            reader.process.wait()
        finally:
            reader.kill()
        if not (folder / ANSWER).exists():
            raise ModisteError(
                f"{filename} could not be checked, nothing was stored: the process that read it "
                f"ended with exit code {reader.exit_code} and said last: {reader.last_words()}",
                code="check_died",
                param="file",
            )
        return _answer(folder)


def _answer(folder: Path) -> Examined | Refused:
    said: dict[str, Any] = json.loads((folder / ANSWER).read_bytes())
    if "refused" in said:
        return Refused(said["refused"], PROBLEMS.validate_python(said["problems"]))
    report, rows = (folder / REPORT).read_bytes(), (folder / ROWS).read_bytes()
    return Examined(**said, report=report, rows=rows)


def main(argv: list[str] | None = None) -> int:
    (folder,) = map(Path, sys.argv[1:] if argv is None else argv)
    request = json.loads((folder / REQUEST).read_bytes())
    found = examine(Path(request["path"]), request["filename"], workers=processors())
    if isinstance(found, Refused):
        problems = PROBLEMS.dump_python(found.problems, mode="json")
        write_json(folder / ANSWER, {"refused": found.what, "problems": problems})
        return 0
    (folder / REPORT).write_bytes(found.report)
    (folder / ROWS).write_bytes(found.rows)
    said = found._asdict()
    del said["report"], said["rows"]
    write_json(folder / ANSWER, said)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
