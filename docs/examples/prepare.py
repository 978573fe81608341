"""Public data as the examples here read it: `train.jsonl` to tune on, `eval.jsonl` to ask.

    python prepare.py TASK --data FOLDER --out FOLDER

TASK is a folder here. Rows to tune on and rows to ask share no question: where the source has a
split it is kept, elsewhere a hash of the question decides. Both files keep the source's order.
For a sweep, the rows to ask come in halves as well, `eval-1` to choose by and `eval-2` to confirm
by, and so does `general`, plain English on which a guard sees what was forgotten.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def rows(path: Path) -> Iterator[Row]:
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open() as lines:
        yield from map(json.loads, lines)


def chat(question: str, answer: str) -> Row:
    return {
        "messages": [
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ]
    }


def share(text: str) -> float:
    """0 to 1, the same for the same text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64


def text_to_sql(data: Path) -> tuple[Iterable[Row], Iterable[Row]]:
    """WikiSQL, its own split."""
    folder = data / "a_wikisql"

    def asked(row: Row) -> str:
        return f"{row['context']}\n{row['question']}"

    train = (
        chat(asked(row), row["answer"])
        for part in sorted(folder.glob("train-*.jsonl.gz"))
        for row in rows(part)
    )
    return train, rows(folder / "dev.jsonl.gz")


def clinc150(data: Path) -> tuple[Iterable[Row], Iterable[Row]]:
    """150 intents, its own split, without the questions that are out of scope."""
    folder = data / "b_clinc150"
    train = (chat(row["text"], row["label"]) for row in rows(folder / "train.jsonl.gz"))
    return train, rows(folder / "test.jsonl")


def snips(data: Path) -> tuple[Iterable[Row], Iterable[Row]]:
    """Seven intents, its own split."""
    folder = data / "b_snips"
    train = (chat(row["text"], row["label"]) for row in rows(folder / "train.jsonl.gz"))
    asked = (
        {"text": row["text"], "label": row["label"]} for row in rows(folder / "validate.jsonl")
    )
    return train, asked


def paradetox(data: Path) -> tuple[Iterable[Row], Iterable[Row]]:
    """Rude sentences said politely; one rewriting is learned, all of them count as right."""
    pairs = list(rows(data / "c_paradetox" / "pairs.jsonl.gz"))
    train = (chat(row["toxic"], row["neutral"][0]) for row in pairs if share(row["toxic"]) < 0.9)
    return train, (row for row in pairs if share(row["toxic"]) >= 0.9)


def medquad(data: Path) -> tuple[Iterable[Row], Iterable[Row]]:
    """Questions about diseases; those of one disease are all learned or all asked."""
    found = list(rows(data / "e_medquad" / "qa_short.jsonl.gz"))
    train = (chat(row["question"], row["answer"]) for row in found if share(row["focus"]) < 0.9)
    return train, (row for row in found if share(row["focus"]) >= 0.9)


def general_english(data: Path) -> Iterable[Row]:
    """Articles of US government offices: where they begin, and how they go on."""
    for row in rows(data / "f_gov_news" / "articles.jsonl.gz"):
        words = row["text"].split()
        if len(words) >= 120:
            yield {"begin": " ".join(words[:60]), "rest": " ".join(words[60:120])}


def halves(name: str, found: Iterable[Row]) -> Iterator[tuple[str, list[Row]]]:
    kept = list(found)
    first = [share(json.dumps(row)) < 0.5 for row in kept]
    yield f"{name}-1", [row for row, here in zip(kept, first, strict=True) if here]
    yield f"{name}-2", [row for row, here in zip(kept, first, strict=True) if not here]


def files(task: str, data: Path) -> Iterator[tuple[str, Iterable[Row]]]:
    train, asked = TASKS[task](data)
    asked = list(asked)
    yield "train", train
    yield "eval", asked
    if task in SWEPT:
        yield from halves("eval", asked)
        yield from halves("general", general_english(data))


SWEPT = ("intents-snips",)
TASKS: dict[str, Callable[[Path], tuple[Iterable[Row], Iterable[Row]]]] = {
    "text-to-sql": text_to_sql,
    "intents-clinc150": clinc150,
    "intents-snips": snips,
    "rewriting-paradetox": paradetox,
    "medical-questions": medquad,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--data", type=Path, required=True, help="folder of the public data")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    for name, found in files(asked.task, asked.data):
        with (asked.out / f"{name}.jsonl").open("w", encoding="utf-8") as file:
            n = sum(bool(file.write(json.dumps(row, ensure_ascii=False) + "\n")) for row in found)
        print(f"{asked.out / name}.jsonl: {n} rows")


if __name__ == "__main__":
    main()
