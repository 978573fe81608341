"""A run small enough to train in a second: random base, random samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modiste.tune.events import Event
from modiste.tune.group import Group
from modiste.tune.machine import Machine
from modiste.tune.mixture import Samples, Source
from modiste.tune.sft import Done, Stop, Stopped, finetune
from modiste.tune.spec import TuneSpec, parse


def spec_of(**changes: Any) -> TuneSpec:
    values: dict[str, Any] = {
        "model": "random",
        "data": {"train": ["train.jsonl"]},
        "lora": {"rank": 4},
        "max_steps": 12,
        "batch_size": 2,
        "max_length": 64,
        "learning_rate": 1e-2,
        "checkpoint_steps": 5,
    }
    return parse(values | changes).spec


def samples_of(
    n: int, *, seed: int = 0, longest: int = 40, trained: float = 0.5, vocabulary: int = 199
) -> Samples:
    random = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        length = int(random.integers(4, longest + 1))
        mask = random.random(length) < trained
        mask[-1] = trained > 0
        made.append((random.integers(0, vocabulary, length), mask))
    return Samples(made)


ONE_THREAD = Machine("cpu", "float32", 1)


class Killed(Exception):
    """Stands for a kill between two steps, where nothing of ours runs any more."""


@dataclass
class Run:
    base: Path
    run_dir: Path
    spec: TuneSpec
    sources: list[Source]
    validation: Samples
    machine: Machine = ONE_THREAD
    events: list[Event] = field(default_factory=list)

    def start(
        self,
        *,
        kill_at: Callable[[Event], bool] = lambda _: False,
        should_stop: Callable[[], Stop | None] = lambda: None,
        group: Group | None = None,
    ) -> Done | Stopped:
        def on_event(event: Event) -> None:
            self.events.append(event)
            if kill_at(event):
                raise Killed(event)

        return finetune(
            self.spec,
            self.base,
            sources=self.sources,
            validation=self.validation,
            run_dir=self.run_dir,
            machine=self.machine,
            on_event=on_event,
            should_stop=should_stop,
            group=group,
        )

    def named(self, name: str) -> list[Any]:
        return [event for event in self.events if event.name == name]

    def losses(self) -> dict[int, tuple[float, float]]:
        """Step to (loss, grad norm), the last word on each step."""
        return {e.step: (e.loss, e.grad_norm) for e in self.named("step")}

    def adapter(self) -> bytes:
        return (self.run_dir / "adapter" / "adapter_model.safetensors").read_bytes()


@pytest.fixture(scope="session")
def base(random_base: Callable[..., Path]) -> Path:
    return random_base("mistral", num_hidden_layers=2)


@pytest.fixture
def make_run(base: Path, tmp_path: Path) -> Callable[..., Run]:
    def make(name: str = "run", *, n: int = 30, n_validation: int = 6, **changes: Any) -> Run:
        folder = tmp_path / name
        folder.mkdir()
        sources = [Source("train.jsonl", 1.0, samples_of(n))]
        run = Run(base, folder, spec_of(), sources, samples_of(n_validation, seed=1))
        spec = spec_of(**{k: v for k, v in changes.items() if not hasattr(run, k)})
        return replace(
            run, spec=spec, **{k: v for k, v in changes.items() if hasattr(run, k) and k != "spec"}
        )

    return make
