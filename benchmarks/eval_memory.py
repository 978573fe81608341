"""How much memory evaluations of many samples take.

    .venv/bin/python benchmarks/eval_memory.py [--items 50000]

Runs of 3 scorers (benchmarks/evals.py makes them) are written as a worker leaves them; then each
step runs in a process of its own, whose largest resident size is told: the figures that a run's
process makes of its journal, the report from an exported folder, and the comparison of two. Beside
it what starting Python with the same modules takes, and the bytes of one run's samples.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from evals import SCORERS, _exported, _run

from modiste.evaluate import stored
from modiste.evaluate.comparison import compare
from modiste.evaluate.items import line_of
from modiste.evaluate.report_html import run_page
from modiste.evaluate.run import metrics_of
from modiste.evaluate.scorers.registry import parse
from modiste.work.eval_run import for_figures
from modiste.work.journal import Journal, Sign

ENTRIES = [{"kind": "exact", "name": name} for name in SCORERS]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--items", type=int, default=50_000)
    parser.add_argument("--step", nargs=2, metavar=("STEP", "FOLDER"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.step:
        return _step(asked.step[0], Path(asked.step[1]), asked.items)
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run(_command("make", scratch, asked.items), check=True)
        size_mb = (Path(scratch) / "a" / stored.ALL_SAMPLES).stat().st_size / 1e6
        print(f"{asked.items:,} samples, {size_mb:,.0f} MB a run")
        for step in ("nothing", "figures", "report", "compare"):
            subprocess.run(_command(step, scratch, asked.items), check=True)
    return 0


def _command(step: str, folder: str, items: int) -> list[str]:
    return [sys.executable, __file__, "--items", str(items), "--step", step, folder]


def _step(step: str, folder: Path, items: int) -> int:
    began = time.process_time()
    match step:
        case "make":
            return _made(folder, items)
        case "figures":
            metrics_of(parse(ENTRIES), for_figures(folder / "journal"))
        case "report":
            run_page(stored.read(folder / "a"))
        case "compare":
            compare(stored.read(folder / "a"), stored.read(folder / "b"), delta=0.02)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{step:<10}{peak_mb:8,.0f} MiB at most{time.process_time() - began:8.1f} s of CPU")
    return 0


def _made(folder: Path, items: int) -> int:
    journal = Journal(folder / "journal")
    for name, right in (("a", 0.60), ("b", 0.62)):
        run = _run(name, items, right=right)
        _exported(folder / name, run)
        if name == "a":
            for at, sample in enumerate(run.samples):
                journal.append(at, Sign.SUCCEEDED, line_of(sample))
    journal.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
