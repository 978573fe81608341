"""The journal keeps every whole result, whatever kills its writer, and files hold each once."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path

from modiste.work.journal import Journal, Sign, assemble, entries


def write(path: Path, *results: tuple[int, Sign]) -> None:
    journal = Journal(path)
    for place, sign in results:
        journal.append(place, sign, json.dumps({"place": place}).encode())
    journal.close()


def places(path: Path | None) -> list[int]:
    return [] if path is None else [json.loads(line)["place"] for line in path.open()]


def test_files_are_in_the_order_of_the_requests_and_failures_apart(tmp_path: Path) -> None:
    good, bad, out = Sign.SUCCEEDED, Sign.FAILED, Sign.NOT_RUN
    write(tmp_path / "j", (4, good), (0, bad), (2, good), (5, out), (1, good))
    files = assemble(tmp_path / "j", tmp_path, n_requests=7)
    assert places(files.output) == [1, 2, 4]
    assert places(files.errors) == [0, 5]


def test_a_result_that_was_written_twice_is_in_the_files_once(tmp_path: Path) -> None:
    write(tmp_path / "j", (1, Sign.SUCCEEDED), (0, Sign.SUCCEEDED))
    write(tmp_path / "j", (1, Sign.FAILED))
    files = assemble(tmp_path / "j", tmp_path, n_requests=2)
    assert places(files.output) == [0, 1]
    assert files.errors is None


def test_without_a_journal_there_are_no_files(tmp_path: Path) -> None:
    files = assemble(tmp_path / "none", tmp_path, n_requests=3)
    assert (files.output, files.errors) == (None, None)


def test_a_torn_line_is_cut_off_and_nothing_before_it(tmp_path: Path) -> None:
    path = tmp_path / "j"
    write(path, (0, Sign.SUCCEEDED), (1, Sign.SUCCEEDED))
    whole = path.read_bytes()
    for cut in range(len(whole) // 2 + 1, len(whole)):
        path.write_bytes(whole[:cut])
        assert [entry.place for entry in entries(path)] == [0]
        write(path, (7, Sign.FAILED))
        assert [entry.place for entry in entries(path)] == [0, 7]


WRITER = """
import sys; from pathlib import Path; from modiste.work.journal import Journal, Sign
journal = Journal(Path(sys.argv[1])); print("begun", flush=True)
for place in range(10**9):
    journal.append(place, Sign.SUCCEEDED, b'{"place": %d}' % place)
    print(place, flush=True)
"""


def test_what_a_killed_writer_said_it_had_written_is_there(tmp_path: Path) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "j")], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    said = [writer.stdout.readline() for _ in range(random.randrange(50, 500))]
    os.kill(writer.pid, signal.SIGKILL)
    said += writer.stdout.readlines()
    writer.wait()
    last = int([each for each in said if each.endswith("\n")][-1])
    kept = [entry.place for entry in entries(tmp_path / "j")]
    assert kept == list(range(len(kept)))
    assert len(kept) > last


def test_files_of_many_large_results_are_made_in_little_memory(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    for place in reversed(range(2000)):
        journal.append(place, Sign.SUCCEEDED, b'{"place": %d, "text": "%s"}' % (place, b"x" * 8000))
    journal.close()
    tracemalloc.start()
    files = assemble(tmp_path / "j", tmp_path, n_requests=2000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert places(files.output) == list(range(2000))
    assert peak < 1 << 20, "16 MB of results took more than one"
