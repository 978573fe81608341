"""Memory that runs out: a smaller run that goes on, or a plan; never a traceback."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from modiste.errors import TuningFailed
from modiste.nn.base import describe_base
from modiste.tune.events import Event, Step, Warned
from modiste.tune.machine import Machine, for_run
from modiste.tune.spec import TuneSpec, parse
from modiste.work import out_of_memory
from modiste.work.out_of_memory import StartAgain, advice, note_kill, with_less

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="micro-batches of a CPU")


def spec(**changes: object) -> TuneSpec:
    wish = {"model": "m", "data": {"train": ["a.jsonl"]}, "max_length": 64, "batch_size": 64}
    return parse(wish | changes).spec


def step(number: int) -> Step:
    return Step(number, 10, 1.0, 1e-4, 0.5, 100, 50, 10.0, 5.0, 1.0)


class Trainer:
    """Stands for a recipe that needs room for `fits` tokens at once."""

    def __init__(self, fits: int, *, recompute: bool = False) -> None:
        self.fits, self.recompute = fits, recompute
        self.tried: list[int] = []

    def __call__(self, machine: Machine, on_event: Callable[[Event], None]) -> str:
        self.tried.append(machine.microbatch_tokens)
        on_event(step(3))
        if machine.microbatch_tokens > self.fits or (self.recompute and not machine.recompute):
            raise TuningFailed("not enough memory", code="out_of_memory")
        return "done"


@pytest.fixture
def run(tmp_path: Path, random_base: Callable[..., Path]):  # type: ignore[no-untyped-def]
    info = describe_base(random_base("mistral"))
    events: list[Event] = []

    def go(trainer: Callable[..., str], asked: TuneSpec | None = None) -> str:
        """As often as the program would begin anew."""
        asked = asked or spec(microbatch_tokens=1024)
        how = {"spec": asked, "info": info, "run_dir": tmp_path, "on_event": events.append}
        while True:
            machine = for_run(tmp_path, info, threads=1, spec=asked)
            with suppress(StartAgain):
                return with_less(trainer, machine, **how)

    go.events, go.folder = events, tmp_path  # type: ignore[attr-defined]
    return go


def warnings(events: list[Event]) -> list[Warned]:
    return [event for event in events if isinstance(event, Warned)]


def test_a_run_that_fits_is_left_alone(run) -> None:  # type: ignore[no-untyped-def]
    assert run(Trainer(2048)) == "done"
    assert not warnings(run.events)


def test_samples_are_computed_in_smaller_groups_until_they_fit_and_it_is_said(run) -> None:  # type: ignore[no-untyped-def]
    trainer = Trainer(300)
    assert run(trainer) == "done"
    assert trainer.tried == [1024, 512, 256]
    first, second = warnings(run.events)
    assert first.step == 3
    assert "up to 512 tokens" in first.message
    assert "Losses stay the same but for rounding" in second.message


def test_then_activations_are_computed_twice(run) -> None:  # type: ignore[no-untyped-def]
    trainer = Trainer(256, recompute=True)
    assert run(trainer) == "done"
    assert trainer.tried == [1024, 512, 256, 256]
    assert "their activations twice" in warnings(run.events)[-1].message


def test_a_trainer_started_again_begins_with_what_fitted(run) -> None:  # type: ignore[no-untyped-def]
    run(Trainer(600))
    again = Trainer(600)
    run(again)
    assert again.tried == [512]


def test_where_nothing_is_left_the_error_is_a_plan(run) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(TuningFailed) as caught:
        run(Trainer(0), spec(lora={"rank": 512}))
    assert caught.value.error_code == "out_of_memory"
    assert "Memory ran out, with samples computed together up to 256 tokens" in caught.value.message
    assert "It needs about" in caught.value.message


def test_other_failures_are_not_tried_again(run) -> None:  # type: ignore[no-untyped-def]
    def broken(machine: Machine, on_event: Callable[[Event], None]) -> str:
        raise TuningFailed("the loss is nan", code="loss_not_finite")

    with pytest.raises(TuningFailed, match="nan"):
        run(broken)


def test_a_kill_by_the_kernel_makes_the_next_trainer_begin_with_less(run) -> None:  # type: ignore[no-untyped-def]
    note_kill(run.folder)
    trainer = Trainer(2048)
    run(trainer)
    assert trainer.tried == [512]
    assert "The machine ran out of memory" in warnings(run.events)[0].message
    run(trainer)
    assert trainer.tried == [512, 512]


def test_the_advice_names_fields_with_the_memory_each_would_need(
    random_base: Callable[..., Path],
) -> None:
    info = describe_base(random_base("mistral", hidden_size=512, intermediate_size=2048))
    long = spec(max_length=8192, lora={"rank": 512})
    text = advice(long, info, device="cpu", at_once=256, recompute=False)
    assert "`gradient_checkpointing: true` about" in text
    assert "`max_length: 4096` about" in text


LIMITED = """
import re, resource, sys
from pathlib import Path
limit = int(sys.argv[1])
import torch, transformers  # what is loaded before the limit does not count against it
from modiste.work import training
import modiste.tune.sft, modiste.tune.tuned, modiste.prepare.render
def kilobytes(field):
    return int(re.search(field + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
before = kilobytes("VmSize")
if limit and resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY:  # not anew
    resource.setrlimit(resource.RLIMIT_AS, (before * 1024 + limit,) * 2)
code = training.main([sys.argv[2]])
print(kilobytes("VmPeak") - before)
sys.exit(code)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(resource, "RLIMIT_AS"), reason="address space cannot be limited")
def test_a_real_trainer_short_of_memory_ends_with_a_model_and_the_same_losses(
    random_base: Callable[..., Path], tmp_path: Path
) -> None:
    """The address space is limited so that 2,048 tokens at once are too many and fewer are not."""
    from modiste import settings

    tiny = Path(settings.__file__).parent / "bases" / "tiny"
    rows = tmp_path / "rows.jsonl"
    answer = "one two three four five " * 20
    row = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": answer}]}
    rows.write_text((json.dumps(row) + "\n") * 64)
    wish = {"model": "tiny", "data": {"train": [{"path": str(rows)}]}, "max_steps": 2}
    wish |= {"batch_size": 16, "max_length": 256, "checkpoint_steps": 2, "eval_steps": 2}
    wish |= {"microbatch_tokens": 4096}  # so much that half of it makes room

    def train(name: str, limit: int) -> tuple[list[dict[str, object]], str]:
        """Its events and what it printed: the kilobytes that it took at most."""
        folder = tmp_path / name
        folder.mkdir()
        job = {
            "base_path": str(tiny),
            "spec": parse(wish).spec.model_dump(mode="json"),
            "train": [{"path": str(rows)}],
            "threads": 1,
        }
        (folder / "job.json").write_text(json.dumps(job))
        command = [sys.executable, "-c", LIMITED, str(limit), str(folder)]
        environment = {**os.environ, "MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        events = (folder / "events.jsonl").read_text().splitlines()
        assert done.returncode in (0, 1), done.stderr[-2000:]
        return [json.loads(line) for line in events], done.stdout

    plenty, taken = train("plenty", 0)
    assert plenty[-1]["event"] == "finished"
    for part in (0.9, 0.8, 0.7, 0.6, 0.5, 0.4):  # Not all that is taken is needed.
        events, _ = train(f"short-{part}", int(int(taken) * 1024 * part))
        warned = [event for event in events if event["event"] == "warning"]
        if warned:
            break
    assert warned, "no limit was short enough"
    assert "up to 2048 tokens" in str(warned[0]["message"])
    assert events[-1]["event"] == "finished", events[-1]

    def losses(events: list[dict[str, object]]) -> list[float]:
        return [float(str(event["loss"])) for event in events if event["event"] == "step"]

    # 1e-5: sums of fp32 in another order; five decimals of a loss of about ten.
    assert losses(events)[-2:] == pytest.approx(losses(plenty), abs=1e-5)


def test_the_note_is_the_only_thing_the_worker_leaves(tmp_path: Path) -> None:
    note_kill(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [out_of_memory.NOTE]
