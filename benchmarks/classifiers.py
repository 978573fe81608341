"""Classifier jobs on the shipped base against TF-IDF with logistic regression, on the same split.

    pip install scikit-learn
    python benchmarks/classifiers.py --data FOLDER [--task snips] [--set classifier.pooling=last]

`--data` is the folder of public data (CLINC150, SNIPS, hate speech, ParaDetox). Each task is one
`modiste tune` in a home of its own, then every text of the test split asked in one go; CPU seconds
are of all its processes: checking, training, certificate, asking. The linear model reads words and
pairs of words (scikit-learn's `TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)` and
`LogisticRegression(C=10)`). Shares and macro-F1 with 95 % intervals, paired difference of rights.
The wish: macro-F1 at or above the linear model's in under 600 CPU seconds.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from modiste.evaluate.stats.classification import classification_report

Row = tuple[str, str]
"""A text and its label."""


class Task(NamedTuple):
    rows: Callable[[Path], tuple[list[Row], list[Row]]]
    """To learn from, and to be tested on."""
    epochs: int


class Outcome(NamedTuple):
    said: list[str]
    cpu_s: float


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--task", choices=TASKS, action="append")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    asked = parser.parse_args()
    print(f"{'':<12}{'model':<10}{'right':>9}{'95 %':>16}{'macro-F1':>9}{'95 %':>16}{'CPU':>9}")
    for name in asked.task or TASKS:
        train, test = TASKS[name].rows(asked.data)
        truth = [label for _, label in test]
        with tempfile.TemporaryDirectory(prefix="classifiers-") as folder:
            tuned = classifier(train, test, TASKS[name].epochs, asked.set, Path(folder))
        outcomes = {"tuned": tuned, "linear": linear(train, test)}
        for model, outcome in outcomes.items():
            print_row(name, model, truth, outcome)
        print(f"{'':<12}{len(train):,} rows learned, {len(test):,} asked", flush=True)
    return 0


def classifier(
    train: Sequence[Row], test: Sequence[Row], epochs: int, changes: list[str], folder: Path
) -> Outcome:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    rows = folder / "train.jsonl"
    rows.write_text("".join(json.dumps({"text": t, "labels": {"is": x}}) + "\n" for t, x in train))
    texts = folder / "test.jsonl"
    texts.write_text("".join(json.dumps({"text": text}) + "\n" for text, _ in test))
    config = {
        "model": "modiste-tiny",
        "data": {"train": str(rows), "holdout": 0.05},
        "objective": "classify",
        "epochs": epochs,
        "batch_size": 2,
    }
    (folder / "tune.yaml").write_text(json.dumps(config))
    told, said = folder / "told.jsonl", folder / "home"
    sets = [part for change in changes for part in ("--set", change)]
    model = modiste(said, "tune", str(folder / "tune.yaml"), *sets).split()[-1]
    modiste(said, "classify", model, str(texts), "-o", str(told))
    answers = [json.loads(line)["results"]["is"]["scores"] for line in told.open()]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Outcome([max(scores, key=scores.__getitem__) for scores in answers], cpu_s)


def modiste(home: Path, *arguments: str) -> str:
    environment = {**os.environ, "MODISTE_HOME": str(home), "MODISTE_PORT": "0"}
    command = [sys.executable, "-m", "modiste", *arguments]
    return subprocess.run(command, env=environment, stdout=-1, check=True, text=True).stdout


def linear(train: Sequence[Row], test: Sequence[Row]) -> Outcome:
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
    except ImportError:
        raise SystemExit("scikit-learn is not installed: pip install scikit-learn") from None
    before = os.times()
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    model: Any = make_pipeline(words, LogisticRegression(C=10, max_iter=1000))
    model.fit([text for text, _ in train], [label for _, label in train])
    said = [str(label) for label in model.predict([text for text, _ in test])]
    after = os.times()
    return Outcome(said, after.user + after.system - before.user - before.system)


def print_row(task: str, model: str, truth: list[str], outcome: Outcome) -> None:
    report = classification_report(truth, outcome.said, sorted(set(truth) | set(outcome.said)))
    figures = _figure(report.accuracy) + _figure(report.macro_f1)
    print(f"{task:<12}{model:<10}{figures}{outcome.cpu_s:>7.0f} s")


def _figure(found: Any) -> str:
    """A share or an estimate."""
    interval = f"{found.ci.lo:.3f} … {found.ci.hi:.3f}"
    return f"{found.value:>9.3f}{interval:>16}"


def lines(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as stream:
        yield from map(json.loads, stream)


def labelled(path: Path) -> list[Row]:
    return [(row["text"], row["label"]) for row in lines(path)]


def snips(data: Path) -> tuple[list[Row], list[Row]]:
    folder = data / "b_snips"
    return labelled(folder / "train.jsonl.gz"), labelled(folder / "validate.jsonl")


def clinc150(data: Path) -> tuple[list[Row], list[Row]]:
    folder = data / "b_clinc150"
    return labelled(folder / "train.jsonl.gz"), labelled(folder / "test.jsonl")


def hate_speech(data: Path) -> tuple[list[Row], list[Row]]:
    return _by_hash(labelled(data / "h_hate_speech" / "tweets.jsonl.gz"), key=lambda text: text)


def paradetox(data: Path) -> tuple[list[Row], list[Row]]:
    """Both sides of a pair are learned, or both are asked."""
    whose: dict[str, str] = {}
    rows: list[Row] = []
    for pair in lines(data / "c_paradetox" / "pairs.jsonl.gz"):
        for text, label in ((pair["toxic"], "toxic"), (pair["neutral"][0], "neutral")):
            whose.setdefault(text, pair["toxic"])
            rows.append((text, label))
    return _by_hash(rows, key=whose.__getitem__)


def _by_hash(rows: list[Row], key: Callable[[str], str]) -> tuple[list[Row], list[Row]]:
    """A fifth is asked."""
    asked = [hashlib.sha256(key(text).encode()).digest()[0] < 51 for text, _ in rows]
    return (
        [row for row, held in zip(rows, asked, strict=True) if not held],
        [row for row, held in zip(rows, asked, strict=True) if held],
    )


TASKS = {
    "snips": Task(snips, 3),
    "clinc150": Task(clinc150, 4),
    "hate-speech": Task(hate_speech, 2),
    "paradetox": Task(paradetox, 2),
}


if __name__ == "__main__":
    sys.exit(main())
