"""How long a report and a comparison of stored evaluations take.

    .venv/bin/python benchmarks/evals.py [--rounds 5]

The report: a run of 1,000 items and 3 scorers, from its files as `modiste eval export` wrote them
to the whole HTML page. The comparison: two runs of 10,000 items and 3 scorers in memory, every
metric, slice and the items furthest apart. Answers and scores are drawn, of about the length of a
paragraph; the fastest and the slowest of the rounds, and the least CPU, which a busy machine does
not lengthen.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from modiste.evaluate import stored
from modiste.evaluate.comparison import compare
from modiste.evaluate.items import SAMPLES, Answer, Item, Sample, scored
from modiste.evaluate.metric import METRICS, Metric, estimate_of, item_means
from modiste.evaluate.record import RECORD, Record, Run
from modiste.evaluate.report_html import run_page
from modiste.types import Message, Role

SCORERS = ("exact", "rouge", "judge")
WORDS = ("the landlord must return a deposit within days", "of the end unless damage was shown")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as scratch:
        folder = _exported(Path(scratch) / "run", _run("report", 1_000, right=0.6))
        page = Path(scratch) / "page.html"

        def report() -> None:
            page.write_text(run_page(stored.read(folder)), encoding="utf-8")

        rows = [("report of 1,000 items, 3 scorers, from files", 2.0, _times(report, rounds))]
        size_kb = page.stat().st_size / 1000
    base, tuned = _run("base", 10_000, right=0.60), _run("tuned", 10_000, right=0.62)
    taken = _times(lambda: compare(base, tuned, delta=0.02), rounds)
    rows.append(("comparison of two runs of 10,000 items", 0.5, taken))
    print(f"{'':<46}{'fastest':>10}{'slowest':>10}{'of CPU':>10}{'allowed':>10}")
    for name, allowed, times in rows:
        walls, cpu = [wall for wall, _ in times], min(cpu for _, cpu in times)
        print(f"{name:<46}{min(walls):9.3f}s{max(walls):9.3f}s{cpu:9.3f}s{allowed:9.1f}s")
    print(f"the page has {size_kb:,.0f} kB")
    return 0


def _times(work: Callable[[], object], rounds: int) -> list[tuple[float, float]]:
    """Seconds on the wall and of CPU."""
    found = []
    for _ in range(rounds):
        began, began_cpu = time.perf_counter(), time.process_time()
        work()
        found.append((time.perf_counter() - began, time.process_time() - began_cpu))
    return found


def _run(name: str, n: int, *, right: float) -> Run:
    rng = random.Random(name)  # noqa: S311
    samples = [_sample(at, rng, right) for at in range(n)]
    record = Record(
        run_id=name, suite="bench", subject=name, model=name, model_id=name, model_version=name,
        dataset_sha256="0" * 64, n_items=n, prompt_sha256="0" * 64, attempts=1,
        sampling={"temperature": 0.0}, scorers=dict.fromkeys(SCORERS, "same"),
        primary="exact.mean", code_version="", started_at=datetime.now(UTC),
    )  # fmt: skip
    metrics = []
    for scorer in SCORERS:
        found = item_means(scorer, samples)
        metrics.append(Metric(scorer, "mean", estimate_of(found, scale=(0.0, 1.0))))
    return Run(record, samples, metrics)


def _sample(at: int, rng: random.Random, right: float) -> Sample:
    topic = {"topic": f"t{at % 8}", "language": ("en", "fr")[at % 2]}
    item = Item(f"item-{at:06}", {"question": f"Question {at}"}, reference="yes", slices=topic)
    text = " ".join(rng.choices(WORDS, k=10))
    scores = {
        "exact": scored(rng.random() < right),
        "rouge": scored(rng.random()),
        "judge": scored(rng.random(), reason="said so", reply=" ".join(rng.choices(WORDS, k=8))),
    }
    prompt = (Message(Role.USER, " ".join(rng.choices(WORDS, k=15))),)
    answer = Answer(text=text, prompt_tokens=160, completion_tokens=90, latency_s=rng.random())
    return Sample(item, 0, prompt, answer, scores)


def _exported(folder: Path, run: Run) -> Path:
    told = {
        "record": RECORD.dump_python(run.record, mode="json"),
        "metrics": METRICS.dump_python(tuple(run.metrics), mode="json"),
    }
    lines = [SAMPLES.dump_json(sample) + b"\n" for sample in run.samples]
    stored.write(folder, json.loads(json.dumps(told)), lines)
    return folder


if __name__ == "__main__":
    raise SystemExit(main())
