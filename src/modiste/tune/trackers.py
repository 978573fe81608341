"""Where else a run is shown: W&B, MLflow, TensorBoard.

A tracker never stops a run or changes it: each works in a thread of its own, fed through a queue;
what goes wrong there becomes one Warned event, and the tracker is left alone from then on. Keys
come from the environment (WANDB_API_KEY, MLFLOW_TRACKING_TOKEN, ...), where the worker puts those
of a job's integrations; nothing here writes them anywhere. A run that goes on after a kill
goes on in the same run of its trackers; steps told twice have the same values.
"""

from __future__ import annotations

import logging
import math
import queue
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from modiste.errors import InvalidInput
from modiste.tune.events import Evaluated, Event, Resumed, Started, Step, Warned
from modiste.tune.spec import Tracker, TuneSpec
from modiste.tune.tracker_sinks import open_mlflow, open_tensorboard, open_wandb, settle

log = logging.getLogger("modiste.trackers")
CLOSE_S = 30.0
"""A tracker gets this long to send what it holds when the run has ended."""

OPEN: Mapping[str, Callable[..., Sink]] = {
    "wandb": open_wandb,
    "mlflow": open_mlflow,
    "tensorboard": open_tensorboard,
}


class Sink(Protocol):
    """One open run of one tracker."""

    note: str | None
    """To be told to whoever started the run."""

    def log(self, values: Mapping[str, float], step: int) -> None: ...

    def close(self, *, ok: bool) -> None: ...


class Trackers:
    """Passes events on to `on_event` and shows their figures in every tracker of the spec."""

    def __init__(
        self,
        spec: TuneSpec,
        run_dir: Path,
        *,
        name: str,
        on_event: Callable[[Event], None],
        close_s: float = CLOSE_S,
    ) -> None:
        self._on_event = on_event
        self._close_s = close_s
        self._step = 0
        self.succeeded = False
        """Said by whoever knows, before the block ends."""
        config = config_of(spec)
        self._feeds = [
            _Feed(tracker, number, run_dir, name=name, config=config)
            for number, tracker in enumerate(spec.trackers)
        ]

    def __enter__(self) -> Trackers:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        for feed in self._feeds:
            feed.end(ok=kind is None and self.succeeded)
        for feed in self._feeds:
            feed.join(self._close_s)
        last = threading.Thread(target=settle, daemon=True)
        last.start()
        last.join(self._close_s)
        self._pass_on_words()

    def __call__(self, event: Event) -> None:
        self._on_event(event)
        self._pass_on_words()
        if isinstance(event, Started):
            for feed in self._feeds:
                feed.start()
        elif isinstance(event, Resumed | Step):
            self._step = event.step
        values = figures(event)
        if values:
            for feed in self._feeds:
                feed.put(values, getattr(event, "step", None) or 0)

    def _pass_on_words(self) -> None:
        for feed in self._feeds:
            for text in feed.words():
                log.warning("%s", text)
                self._on_event(Warned(self._step, "tracker", text))


class _Feed:
    """The thread that serves one tracker. A dead or slow tracker only fills its queue."""

    def __init__(
        self, tracker: Tracker, number: int, run_dir: Path, *, name: str, config: dict[str, Any]
    ) -> None:
        self._tracker = tracker
        self._open: Callable[[], Sink] = partial(
            OPEN[tracker.type], tracker, run_dir, name=name, number=number, config=config
        )
        self._items: queue.SimpleQueue[tuple[dict[str, float], int] | bool] = queue.SimpleQueue()
        self._words: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, daemon=True, name=tracker.type)

    def start(self) -> None:
        if self._thread.ident is None:
            self._thread.start()

    def put(self, values: dict[str, float], step: int) -> None:
        self._items.put((values, step))

    def end(self, *, ok: bool) -> None:
        self._items.put(ok)

    def join(self, timeout_s: float) -> None:
        if self._thread.ident is None:
            return
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            self._words.put(
                f"{self._tracker.type} did not take all figures within {timeout_s:.0f} s; "
                "the job has them all"
            )

    def words(self) -> list[str]:
        said = []
        while True:
            try:
                said.append(self._words.get_nowait())
            except queue.Empty:
                return said

    def _serve(self) -> None:
        """The broad except is this thread's edge: whatever a tracker raises ends the tracker."""
        try:
            sink: Sink = self._open()
            if sink.note is not None:
                self._words.put(sink.note)
            while not isinstance(item := self._items.get(), bool):
                sink.log(*item)
            sink.close(ok=item)
        except InvalidInput as error:
            self._words.put(error.message)
        except Exception as error:  # noqa: BLE001
            text = f"{type(error).__name__}: {error}".splitlines()[0]
            self._words.put(
                f"{self._tracker.type} shows nothing more of this run, which goes on: {text:.300}"
            )


def figures(event: Event) -> dict[str, float]:
    """What a tracker shows of an event, by name; nothing of most."""
    match event:
        case Step():
            found: dict[str, float | None] = {
                "train/loss": event.loss,
                "train/perplexity": perplexity(event.loss),
                "train/learning_rate": event.learning_rate,
                "train/grad_norm": event.grad_norm,
                "train/epoch": event.epoch,
                "train/tokens": event.n_tokens,
                "train/tokens_per_s": event.tokens_per_s,
                "train/trained_tokens_per_s": event.trained_tokens_per_s,
                "train/memory_bytes": event.memory_bytes,
                "train/gpu_memory_bytes": event.gpu_memory_bytes,
                "train/mfu": event.mfu,
            }
            part, measures = "train", event.measures
        case Evaluated():
            found = {
                "eval/loss": event.valid_loss,
                "eval/perplexity": perplexity(event.valid_loss),
                "eval/token_accuracy": event.valid_token_accuracy,
            }
            part, measures = "eval", event.measures
        case _:
            return {}
    if measures:  # losses of pairs are no logarithms of a probability per token
        found.pop(f"{part}/perplexity")
        found |= {f"{part}/{name}": value for name, value in measures.items()}
    return {name: float(v) for name, v in found.items() if v is not None and math.isfinite(v)}


def perplexity(loss: float) -> float:
    """e^loss: among how many equally likely tokens the model seems to choose."""
    return math.exp(loss) if loss < 700 else math.inf


def config_of(spec: TuneSpec) -> dict[str, Any]:
    """The spec as flat names, for a tracker's table of runs."""
    flat: dict[str, Any] = {}
    dumped = spec.model_dump(mode="json", exclude={"trackers", "output_dir", "data"})
    for name, value in dumped.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{inner}": v for inner, v in value.items()}
        else:
            flat[name] = value
    return flat | {"data.train": [Path(f.path or f.file_id or "").name for f in spec.data.train]}
