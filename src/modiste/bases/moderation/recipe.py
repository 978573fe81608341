"""The recipe of modiste-moderation: one command from public data to the folder that ships.

    python -m modiste.bases.moderation.recipe --data DIR --out DIR

Rows, a classifier job of this package on modiste-tiny in a home of its own, thresholds found on the
validation rows, then every held-out text asked of the published model, and the card. `--out` ends
with the files that lie beside this one.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modiste.bases.moderation import card
from modiste.bases.moderation.card import Asked
from modiste.bases.moderation.rows import LABELS, TARGET, Row, as_lines, split

SHIPS = (
    "adapter_config.json",
    "adapter_model.safetensors",
    "classifier.json",
    "classifier.safetensors",
)
TUNE: dict[str, Any] = {
    "model": "modiste-tiny",
    "objective": "classify",
    "classifier_targets": [
        {"name": TARGET, "labels": list(LABELS), "loss_function": "multi_class"}
    ],
    "epochs": 2,
    "seq_len": 512,
    "batch_size": 2,
    "lora": {"rank": 16},
}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    asked = parser.parse_args(argv)
    rows = split(asked.data)
    asked.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="moderation-") as name:
        folder = Path(name)
        model = tuned(rows.train, rows.validation, folder, asked.set)
        cpu_s = _children_s()
        modiste(folder, "models", "export", model, "--form", "peft", "-o", str(folder / "made"))
        for each in SHIPS:
            shutil.copyfile(folder / "made" / each, asked.out / each)
        validation = said(model, rows.validation, folder)
        held_out = said(model, rows.asked, folder)
    thresholds = card.thresholds(validation)
    text = card.written(held_out, thresholds, n_learned=len(rows.train), cpu_s=cpu_s)
    (asked.out / "MODEL_CARD.md").write_text(text, encoding="utf-8")
    sys.stdout.write(text)
    return 0


def tuned(
    train: Sequence[Row], validation: Sequence[Row], folder: Path, changes: Sequence[str]
) -> str:
    """The model's name."""
    files = {"train": train, "validation": validation}
    for name, rows in files.items():
        (folder / f"{name}.jsonl").write_text(as_lines(rows), encoding="utf-8")
    data = {name: str(folder / f"{name}.jsonl") for name in files}
    (folder / "tune.yaml").write_text(json.dumps({**TUNE, "data": data}))
    sets = [part for change in changes for part in ("--set", change)]
    return modiste(folder, "tune", str(folder / "tune.yaml"), *sets).split()[-1]


def said(model: str, rows: Sequence[Row], folder: Path) -> list[Asked]:
    """Every row with its probabilities, as the server tells them."""
    texts, told = folder / "texts.jsonl", folder / "told.jsonl"
    texts.write_text("".join(json.dumps({"text": row.text}) + "\n" for row in rows))
    modiste(folder, "classify", model, str(texts), "-o", str(told))
    with told.open() as stream:
        scores = [json.loads(line)["results"][TARGET]["scores"] for line in stream]
    return [Asked(row, each) for row, each in zip(rows, scores, strict=True)]


def modiste(folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "MODISTE_HOME": str(folder / "home"), "MODISTE_PORT": "0"}
    command = [sys.executable, "-m", "modiste", *arguments]
    return subprocess.run(command, env=environment, stdout=-1, check=True, text=True).stdout


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.exit(main())
