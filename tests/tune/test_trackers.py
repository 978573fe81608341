"""Runs as W&B, MLflow and TensorBoard show them: real packages, written and read back."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from modiste.tune import trackers
from modiste.tune.events import Evaluated, Event, Resumed, Started, Step, Warned
from modiste.tune.spec import TuneSpec
from modiste.tune.trackers import Trackers, figures

from .conftest import spec_of

SECRET = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No keys and no settings of whoever runs the tests."""
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def step(n: int) -> Step:
    return Step(n, 12, 6.0 / n, 1e-3 * n, 0.5, 100 * n, 50 * n, 1000.0, 500.0, 2.0, epoch=n / 4)


def show(
    spec: TuneSpec, run_dir: Path, steps: range, *, resumed: bool = False, close_s: float = 60.0
) -> list[Event]:
    said: list[Event] = []
    run_dir.mkdir(exist_ok=True)
    with Trackers(spec, run_dir, name="job-1", on_event=said.append, close_s=close_s) as on_event:
        on_event(Started(12, 2, 64, 30, 0, 1000, 6, "cpu", "float32", 1, True))
        if resumed:
            on_event(Resumed(steps.start - 1))
        for n in steps:
            on_event(step(n))
        on_event(Evaluated(steps.stop - 1, 0.75, 0.5, 100))
        on_event.succeeded = True
    return said


def asked(**tracker: Any) -> TuneSpec:
    spec: TuneSpec = spec_of(trackers=[tracker])
    return spec


def warnings(said: list[Event]) -> list[str]:
    return [event.message for event in said if isinstance(event, Warned)]


def test_tensorboard_reads_back_every_figure(tmp_path: Path) -> None:
    spec = asked(type="tensorboard", run_name="../mine: 1")
    assert not warnings(show(spec, tmp_path / "run", range(1, 7)))
    show(spec, tmp_path / "run", range(4, 13), resumed=True)
    (folder,) = (tmp_path / "run" / "tensorboard").iterdir()
    assert folder.name == "-mine-1"
    read = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = read.EventAccumulator(str(folder))
    found.Reload()
    losses = {e.step: e.value for e in found.Scalars("train/loss")}
    assert losses == pytest.approx({n: 6.0 / n for n in range(1, 13)})
    assert found.Scalars("eval/token_accuracy")[-1].value == 0.5


def test_mlflow_keeps_one_run_of_a_job_that_was_killed(tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    run_dir = tmp_path / "run"
    spec = asked(type="mlflow", project="tuning")
    assert not warnings(show(spec, run_dir, range(1, 7)))
    show(spec, run_dir, range(4, 13), resumed=True)
    with sqlite3.connect(run_dir / "mlflow.db") as database:
        assert database.execute("select name, status from runs").fetchall() == [
            ("job-1", "FINISHED")
        ]
        query = "select distinct step, value from metrics where key = 'train/loss' order by step"
        assert database.execute(query).fetchall() == [(n, 6.0 / n) for n in range(1, 13)]
        params = dict(database.execute("select key, value from params").fetchall())
    assert params["learning_rate"] == "0.01"
    assert params["data.train"] == "['train.jsonl']"


def test_wandb_offline_writes_a_run_that_can_be_sent_later(tmp_path: Path) -> None:
    spec = asked(type="wandb", project="tuning", run_name="first", offline=True)
    assert not warnings(show(spec, tmp_path / "run", range(1, 7)))
    (file,) = (tmp_path / "run" / "wandb").glob("offline-run-*/run-*.wandb")
    history, run = read_wandb(file)
    losses = [float(row["train/loss"]) for row in history if "train/loss" in row]
    assert losses == [6.0 / n for n in range(1, 7)]
    assert history[-1]["eval/loss"] == "0.75"
    assert (run.project, run.display_name) == ("tuning", "first")
    assert any(item.key == "lora.rank" and item.value_json == "4" for item in run.config.update)


def read_wandb(file: Path) -> tuple[list[dict[str, str]], Any]:
    """What `wandb sync` would send."""
    protocol = pytest.importorskip("wandb.proto.wandb_internal_pb2")
    history, run = [], None
    for data in log_records(file.read_bytes()):
        record = protocol.Record()
        record.ParseFromString(data)
        if record.WhichOneof("record_type") == "run":
            run = record.run
        if record.WhichOneof("record_type") == "history":
            items = record.history.item
            history.append({i.key or "/".join(i.nested_key): i.value_json for i in items})
    return history, run


def log_records(content: bytes) -> Iterator[bytes]:
    """LevelDB's log format behind seven bytes of W&B: blocks of 32 KiB, records in pieces."""
    at, record = 7, b""
    while at + 7 <= len(content):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        length, kind = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        record += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield record
            record = b""


def test_wandb_without_a_key_goes_offline_and_says_so_once(tmp_path: Path) -> None:
    said = show(asked(type="wandb", project="tuning"), tmp_path / "run", range(1, 3))
    (text,) = warnings(said)
    assert "has no API key" in text
    assert "wandb sync" in text


class Wandb(BaseHTTPRequestHandler):
    """A W&B server that takes note of who asks and answers nothing useful."""

    keys: list[str]

    def do_POST(self) -> None:
        self.keys.append(self.headers.get("Authorization", ""))
        self.send_response(403)
        self.end_headers()

    do_GET = do_POST

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def refusing_server() -> Iterator[tuple[str, list[str]]]:
    keys: list[str] = []
    handler = type("Handler", (Wandb,), {"keys": keys})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", keys
        server.shutdown()


def test_a_server_that_refuses_the_key_stops_nothing_and_the_key_is_written_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusing_server: tuple[str, list[str]]
) -> None:
    url, keys = refusing_server
    monkeypatch.setenv("WANDB_API_KEY", SECRET)
    said = show(asked(type="wandb", project="p", url=url), tmp_path / "run", range(1, 9))
    assert [e.step for e in said if isinstance(e, Step)] == list(range(1, 9))
    (text,) = warnings(said)
    assert "wandb shows nothing more of this run, which goes on" in text
    assert keys
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert SECRET.encode() not in written + text.encode()


class Deaf:
    """Opens and never comes back."""

    note = None

    def log(self, values: Mapping[str, float], step: int) -> None:
        time.sleep(3600)

    def close(self, *, ok: bool) -> None:
        """Never reached."""


class Broken(Deaf):
    def log(self, values: Mapping[str, float], step: int) -> None:
        raise ConnectionError(f"no route at step {step}")


@pytest.mark.parametrize(
    ("sink", "words"),
    [(Deaf, "did not take all figures within 0 s"), (Broken, "no route at step 1")],
)
def test_a_tracker_that_hangs_or_fails_costs_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sink: type[Deaf], words: str
) -> None:
    monkeypatch.setattr(trackers, "OPEN", {"wandb": lambda *_, **__: sink()})
    began = time.monotonic()
    said = show(asked(type="wandb", project="p"), tmp_path / "run", range(1, 13), close_s=0.2)
    assert time.monotonic() - began < 20
    (text,) = warnings(said)
    assert words in text


def test_a_missing_package_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "mlflow", None)
    (text,) = warnings(show(asked(type="mlflow"), tmp_path / "run", range(1, 3)))
    assert "pip install 'modiste[trackers]'" in text


def test_pairs_have_no_perplexity_and_what_is_no_number_is_left_out() -> None:
    of_pairs = figures(Evaluated(3, 0.6, None, 10, {"preference_accuracy": 0.7}))
    assert of_pairs == {"eval/loss": 0.6, "eval/preference_accuracy": 0.7}
    assert figures(Evaluated(3, float("nan"), 0.1, 10)) == {"eval/token_accuracy": 0.1}
    assert figures(Resumed(3)) == {}
