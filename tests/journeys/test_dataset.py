"""Raw rows become a dataset, on the text-to-SQL rows of the development data."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from modiste.prepare.curate import pipeline
from modiste.prepare.curate.manifest import Dataset, read_sources
from modiste.prepare.curate.steps import parse
from modiste.prepare.records import records

DATA = Path(os.environ.get("MODISTE_DATA", Path(__file__).parents[3] / "shared" / "data"))
PARTS = ["train", "validation", "test"]
STAGES = [
    "dedup",
    {"split": {"parts": "70/15/15"}},
    {"decontaminate": {"against": ["@test", "@validation"]}, "from": "train"},
    {"variety": {"sample": 2_000}, "from": "train"},
]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (DATA / "a_wikisql").is_dir(), reason=f"no development data at {DATA}; set MODISTE_DATA"
    ),
]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    inputs = ["a_wikisql/dev.jsonl.gz", "a_sql_create_context/rows.jsonl.gz"]
    output = tmp_path_factory.mktemp("sql") / "set"
    return pipeline.run(
        parse({"inputs": inputs, "stages": STAGES, "output": str(output)}, folder=DATA)
    )


def test_every_row_is_in_one_part_or_in_a_report(dataset: Dataset) -> None:
    rows_in = sum(given["rows"] for given in dataset.manifest["inputs"])
    kept = [(row.file, row.source_line) for row in read_sources(dataset.folder)]
    dropped = [
        (row["file"], row["line"])
        for done in dataset.done
        for row in done.report.get("dropped", ())
    ]
    assert len(set(kept)) == len(kept)
    assert not set(kept) & set(dropped)
    assert len(kept) + len(set(dropped)) == rows_in


def test_every_row_is_its_line_of_the_file_it_came_from(dataset: Dataset) -> None:
    sources = {
        given["file"]: gzip.decompress((DATA / given["file"]).read_bytes()).splitlines()
        for given in dataset.manifest["inputs"]
    }
    written = {name: (dataset.folder / f"{name}.jsonl").read_bytes().splitlines() for name in PARTS}
    for row in read_sources(dataset.folder):
        assert written[row.part][row.line - 1] == sources[row.file][row.source_line - 1]


def test_no_prompt_is_in_two_parts(dataset: Dataset) -> None:
    seen: dict[str, str] = {}
    for name in PARTS:
        for prompt in _prompts(dataset.folder / f"{name}.jsonl"):
            assert seen.setdefault(prompt, name) == name


def _prompts(path: Path) -> Iterator[str]:
    for record in records(path, filename=path.name):
        yield str(record.example.messages[0].content)
