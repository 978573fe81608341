from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

from modiste.errors import InvalidInput
from modiste.prepare.curate import merge
from modiste.prepare.curate.manifest import Dataset, read_manifest, read_sources
from modiste.prepare.curate.pipeline import CACHE, Event, run
from modiste.prepare.curate.stage import Corpus, Outcome
from modiste.prepare.curate.steps import parse

Rows = Callable[..., Corpus]
Chat = Callable[..., dict[str, Any]]
SPLIT = {"split": {"parts": "70/15/15"}}


def _run(folder: Path, *stages: Any, inputs: Any = "rows.jsonl", **more: Any) -> Dataset:
    values = {"inputs": inputs, "stages": list(stages), "output": more.pop("output", "out")}
    return run(parse(values, folder=folder), **more)


def _whats(folder: Path, *stages: Any, **more: Any) -> list[str]:
    """Which stages were run (`done`) and which were `known`."""
    events: list[Event] = []
    _run(folder, *stages, on_event=events.append, **more)
    return [f"{event.stage} {event.what}" for event in events if event.what != "start"]


def _everything(folder: Path) -> dict[str, bytes]:
    """What a folder holds, without the cache."""
    files = [p for p in folder.rglob("*") if p.is_file() and CACHE not in p.parts]
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


@pytest.fixture
def many(corpus: Rows, chat: Chat) -> Corpus:
    return corpus([chat(f"question {at}", f"answer {at}") for at in range(200)])


def test_a_pipeline_makes_a_folder_that_explains_itself(tmp_path: Path, many: Corpus) -> None:
    dataset = _run(tmp_path, "merge", SPLIT, {"sample": {"n": 10}, "from": "train"})
    manifest = read_manifest(tmp_path / "out")
    assert manifest == dataset.manifest
    assert dataset.changed
    assert manifest["inputs"] == [{"file": "rows.jsonl", "sha256": many.sha256, "rows": 200}]
    assert [(s["stage"], s["from"], s["rows_in"]) for s in manifest["stages"]][:2] == [
        ("merge", "data", 200),
        ("split", "data", 200),
    ]
    assert list(manifest["outputs"]) == ["train", "validation", "test"]
    assert manifest["outputs"]["train"]["rows"] == 10
    report = json.loads((tmp_path / "out" / manifest["stages"][1]["report"]).read_text())
    assert report["settings"]["salt"] == "modiste"
    assert report["inputs"][0]["rows"] == 200


def test_every_row_knows_its_file_and_line_through_all_stages(
    tmp_path: Path, corpus: Rows, chat: Chat
) -> None:
    one = corpus([chat("a"), chat("b"), chat("a")], "raw/one.jsonl")
    two = corpus([chat("b")] + [chat(f"c{at}") for at in range(40)], "raw/two.jsonl")
    _run(tmp_path, "merge", {"split": {}}, inputs="raw")
    where = {(c.filename, r.line): r.id for c in (one, two) for r in c}
    rows = list(read_sources(tmp_path / "out"))
    assert len(rows) == 42
    for row in rows:
        assert row.file.startswith("raw/")
        assert where[row.file, row.source_line] == row.id
        line = (tmp_path / "out" / f"{row.part}.jsonl").read_bytes().splitlines()[row.line - 1]
        source = (tmp_path / row.file).read_bytes().splitlines()[row.source_line - 1]
        assert line == source
    reported = json.loads((tmp_path / "out" / "reports" / "1-merge.json").read_text())["dropped"]
    assert [(r["file"], r["line"]) for r in reported] == [
        ("raw/one.jsonl", 3),
        ("raw/two.jsonl", 1),
    ]


def test_nothing_is_done_twice_and_only_what_changed_is_redone(
    tmp_path: Path, many: Corpus, chat: Chat
) -> None:
    draw = {"sample": {"n": 10}, "from": "train"}
    assert _whats(tmp_path, "merge", SPLIT, draw) == ["merge done", "split done", "sample done"]
    assert _whats(tmp_path, "merge", SPLIT, draw) == ["merge known", "split known", "sample known"]
    more = {"sample": {"n": 20}, "from": "train"}
    assert _whats(tmp_path, "merge", SPLIT, more) == ["merge known", "split known", "sample done"]
    salted = {"split": {"parts": "70/15/15", "salt": "x"}}
    assert _whats(tmp_path, "merge", salted, more) == ["merge known", "split done", "sample done"]
    assert _whats(tmp_path, "merge", SPLIT, draw) == ["merge known", "split known", "sample known"]
    with many.path.open("a") as stream:
        stream.write(json.dumps(chat("one more")) + "\n")
    assert _whats(tmp_path, "merge", SPLIT, draw)[0] == "merge done"


def test_a_change_that_changes_no_row_is_felt_by_no_later_stage(
    tmp_path: Path, many: Corpus
) -> None:
    _whats(tmp_path, "merge", SPLIT)
    assert _whats(tmp_path, {"merge": {"seed": 7}}, SPLIT) == ["merge done", "split known"]


def test_a_file_that_settings_name_counts(
    tmp_path: Path, many: Corpus, corpus: Rows, chat: Chat
) -> None:
    frozen = corpus([chat("question 1"), chat("question 2")], "frozen.jsonl")
    step = {"split": {"frozen_test": "frozen.jsonl"}}
    assert _whats(tmp_path, step) == ["split done"]
    assert _whats(tmp_path, step) == ["split known"]
    [stage] = read_manifest(tmp_path / "out")["stages"]
    assert stage["reads"] == [{"file": "frozen.jsonl", "sha256": frozen.sha256}]
    files = {row.file for row in read_sources(tmp_path / "out") if row.part == "test"}
    assert files == {"frozen.jsonl"}
    corpus([chat("question 3")], "frozen.jsonl")
    assert _whats(tmp_path, step) == ["split done"]


def test_a_new_version_of_a_stage_is_run_again(tmp_path: Path, many: Corpus) -> None:
    class Newer:
        name: ClassVar[str] = "merge"
        version: ClassVar[int] = merge.STAGE.version + 1
        settings: ClassVar[type[BaseModel]] = merge.Merge
        reads: ClassVar[tuple[str, ...]] = ()

        def run(self, inputs: Sequence[Corpus], settings: merge.Merge) -> Outcome:
            return merge.merge(inputs, settings)

    _whats(tmp_path, "merge")
    assert _whats(tmp_path, "merge", stages={"merge": Newer()}) == ["merge done"]


def test_two_runs_of_the_same_make_the_same_bytes(tmp_path: Path, many: Corpus) -> None:
    _run(tmp_path, "merge", SPLIT, output="out/a")
    _run(tmp_path, "merge", SPLIT, output="other/a")
    one, other = _everything(tmp_path / "out"), _everything(tmp_path / "other")
    assert one == other
    assert "a/rows.jsonl.gz" in one


def test_a_stream_can_be_held_against_another(tmp_path: Path, many: Corpus) -> None:
    again = {"split": {"parts": {"fit": 0.5, "tune": 0.5}, "frozen_test": "@validation"}}
    _run(tmp_path, {"split": {}}, {**again, "from": "train"}, output="first")
    manifest = read_manifest(tmp_path / "first")
    assert list(manifest["outputs"]) == ["fit", "tune", "test", "validation"]


def test_rows_of_other_columns_flow_as_they_are(tmp_path: Path) -> None:
    lines = [f"q{at},a{at}" for at in range(50)]
    (tmp_path / "rows.csv").write_text("\n".join(["question,answer", *lines]))
    given = {"path": "rows.csv", "columns": ["user={question}", "assistant={answer}"]}
    _run(tmp_path, "merge", {"split": {}}, inputs=[given])
    first = json.loads((tmp_path / "out" / "train.jsonl").read_text().splitlines()[0])
    assert set(first) == {"question", "answer"}
    part = read_manifest(tmp_path / "out")["outputs"]["train"]
    assert part["columns"] == [["user", "{question}"], ["assistant", "{answer}"]]


def test_chats_of_a_table_flow_as_chats(tmp_path: Path) -> None:
    lines = [f"{at},user,question {at}\n{at},assistant,answer {at}" for at in range(40)]
    (tmp_path / "table.csv").write_text("\n".join(["chat_id,role,content", *lines]))
    _run(tmp_path, "merge", {"split": {}}, inputs="table.csv")
    manifest = read_manifest(tmp_path / "out")
    assert {part["format"] for part in manifest["outputs"].values()} == {"chat"}
    assert sum(part["rows"] for part in manifest["outputs"].values()) == 40
    first = next(read_sources(tmp_path / "out"))
    assert first.file == "table.csv"
    assert first.source_line % 2 == 0


def test_files_of_different_formats_are_refused_before_anything_runs(
    tmp_path: Path, many: Corpus, corpus: Rows
) -> None:
    corpus([{"instruction": "a", "input": "", "output": "b"}], "alpaca.jsonl")
    with pytest.raises(InvalidInput, match=r"cannot become one: rows\.jsonl is chat, alpaca"):
        _run(tmp_path, "merge", inputs=["rows.jsonl", "alpaca.jsonl"])


def test_a_bad_row_stops_the_run_and_leaves_the_old_dataset(tmp_path: Path, many: Corpus) -> None:
    _run(tmp_path, "merge")
    before = _everything(tmp_path / "out")
    with many.path.open("a") as stream:
        stream.write("{oops\n")
    with pytest.raises(InvalidInput, match=r"rows\.jsonl line 201"):
        _run(tmp_path, "merge")
    assert _everything(tmp_path / "out") == before


def test_what_somebody_changed_by_hand_is_not_overwritten(tmp_path: Path, many: Corpus) -> None:
    _run(tmp_path, "merge")
    (tmp_path / "out" / "data.jsonl").write_text("mine\n")
    with pytest.raises(InvalidInput, match=r"data\.jsonl in .* was changed since it was written"):
        _run(tmp_path, {"merge": {"seed": 1}})
    assert (tmp_path / "out" / "data.jsonl").read_text() == "mine\n"


def test_a_folder_with_other_things_in_it_is_not_an_output(tmp_path: Path, many: Corpus) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(InvalidInput, match=r"holds thesis\.txt, which no pipeline wrote"):
        _run(tmp_path, "merge")


def test_parts_that_are_no_longer_made_go_away(tmp_path: Path, many: Corpus) -> None:
    _run(tmp_path, SPLIT)
    assert (tmp_path / "out" / "test.jsonl").exists()
    _run(tmp_path, {"split": {}})
    assert not (tmp_path / "out" / "test.jsonl").exists()
    _run(tmp_path, SPLIT, clean=True)
    entries = [p for p in (tmp_path / "out" / CACHE).iterdir() if p.is_dir()]
    assert len(entries) == 1


# What follows kills a real run with SIGKILL, at places found by watching its folder.

KILLED = """
inputs: [rows.jsonl]
stages:
  - merge
  - split: {parts: 70/15/15}
  - sample: {fraction: 0.9}
    from: train
output: OUT
"""


@pytest.fixture(scope="module")
def sizeable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """6,000 rows, and what an undisturbed run makes of them."""
    folder = tmp_path_factory.mktemp("killed")
    with (folder / "rows.jsonl").open("w") as stream:
        for at in range(6_000):
            row = {"messages": [{"role": "user", "content": f"question {at % 5_000} " + "x" * 300}]}
            row["messages"].append({"role": "assistant", "content": f"answer {at}"})
            stream.write(json.dumps(row) + "\n")
    (folder / "p.yaml").write_text(KILLED.replace("OUT", "calm/set"))
    assert _start(folder / "p.yaml").wait(60) == 0
    return folder


def _start(path: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "modiste", "data", "run", str(path), "--json"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def _kill_when(process: subprocess.Popen[bytes], happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.0005)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait(10) == -signal.SIGKILL


def _written(cache: Path, pattern: str) -> Callable[[], bool]:
    """Whether a stage's rows are being written: some are, and the stage is not done."""
    return lambda: any(p.stat().st_size > 0 for p in _there(cache, pattern))


def _there(cache: Path, pattern: str) -> list[Path]:
    try:
        return [p for p in cache.glob(pattern) if p.exists()]
    except FileNotFoundError:
        return []


@pytest.mark.parametrize(
    ("place", "known"),
    [
        (".merge-*.tmp/.data.jsonl.*", [False, False, False]),
        (".split-*.tmp/.train.jsonl.*", [True, False, False]),
        (".sample-*.tmp/.data.jsonl.*", [True, True, False]),
        ("publishing.json", [True, True, True]),
    ],
)
def test_a_run_killed_anywhere_is_finished_by_running_it_again(
    sizeable: Path, tmp_path: Path, place: str, known: list[bool]
) -> None:
    (tmp_path / "rows.jsonl").symlink_to(sizeable / "rows.jsonl")
    (tmp_path / "p.yaml").write_text(KILLED.replace("OUT", "set"))
    cache = tmp_path / "set" / CACHE
    _kill_when(_start(tmp_path / "p.yaml"), _written(cache, place))
    assert not (tmp_path / "set" / "dataset.json").exists()
    finished = {p.name: p.stat().st_ino for p in _there(cache, "*-*") if p.is_dir()}
    finished = {name: inode for name, inode in finished.items() if not name.startswith(".")}
    assert len(finished) == sum(known)
    again = _start(tmp_path / "p.yaml")
    told, _ = again.communicate(timeout=300)
    assert again.returncode == 0
    assert json.loads(told)["known"] == known
    assert {name: (cache / name).stat().st_ino for name in finished} == finished
    assert not list(cache.glob(".*.tmp"))
    assert _everything(tmp_path / "set") == _everything(sizeable / "calm" / "set")


@pytest.mark.slow
def test_a_run_killed_over_and_over_comes_to_the_same(sizeable: Path, tmp_path: Path) -> None:
    """Wherever the clock strikes, start-up included; each round gets a little further."""
    (tmp_path / "rows.jsonl").symlink_to(sizeable / "rows.jsonl")
    (tmp_path / "p.yaml").write_text(KILLED.replace("OUT", "set"))
    for delay_s in (0.3, 0.5, 0.7, 0.9, 1.1):
        process = _start(tmp_path / "p.yaml")
        try:
            process.wait(delay_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
    assert _start(tmp_path / "p.yaml").wait(60) == 0
    assert _everything(tmp_path / "set") == _everything(sizeable / "calm" / "set")
