"""Whether a training fits this machine, and which knob makes it fit, with numbers.

What the spec leaves open is chosen so that it fits: smaller micro-batches first, which cost nothing
in what is learned, then gradient checkpointing, which costs a forward. What does not fit even so
comes back as a problem whose hint names every single change that would do, with the memory each
needs. `force: true` turns the problems into words.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from modiste.nn.base import BaseInfo
from modiste.prepare.over_length import OverLength
from modiste.tune import memory
from modiste.tune.memory import Load, Need
from modiste.tune.room import Room
from modiste.tune.spec import Method, Objective, TuneSpec
from modiste.types import Problem

USABLE = 0.95
"""Of the device's memory; the rest is the system's."""
SMALLEST = {"cpu": 256, "cuda": 1_024}
"""Tokens of a micro-batch below which nothing is gained."""
PROCESSES = "MODISTE_TRAIN_PROCESSES"
"""A setting of the server; each process holds a copy."""
SHORTEST = 256
LOWEST_RANK = 4
WORTH_IT = 0.85
"""A change that saves less is not advised to a run that ran out of memory."""
CHECKPOINTS_AT_ONCE = 3
"""Two are kept, and the next one is written beside them."""
RESULTS_AT_ONCE = 3
"""In the run's folder, in the store, and unpacked for the engine."""


class Fitted(NamedTuple):
    spec: TuneSpec
    """`auto` decided."""
    need: Need
    disk_bytes: int
    said: tuple[str, ...]
    problems: tuple[Problem, ...]


def fitted(spec: TuneSpec, base: BaseInfo, load: Load, room: Room | None) -> Fitted:
    """Without a room everything fits, and a CPU is assumed."""
    if room is None:
        unbounded = Room("cpu", "", 1 << 60, 1 << 60, 1 << 60)
        return fitted(spec, base, load, unbounded)
    chosen = _chosen(spec, base, load, room)
    need = _need(chosen, base, load, room)
    said = _why(spec, chosen)
    problems = [
        *_memory(spec, base, load, room, need),
        *_host_memory(chosen, base, room),
        *_storage(chosen, base, room),
    ]
    if problems:
        said = []
    elif need.peak_bytes > room.free_bytes:
        said.append(
            f"Only {gigabytes(room.free_bytes)} of memory are free now, and this training needs "
            f"{gigabytes(need.peak_bytes)}: other programs use the rest."
        )
    if spec.force and problems:
        said += [f"Forced, although {problem.message}." for problem in problems]
        problems = []
    return Fitted(chosen, need, _disk(chosen, base), tuple(said), tuple(problems))


def savings(spec: TuneSpec, base: BaseInfo, load: Load, *, device: str) -> str:
    """What single changes would make of the memory, for a run that did not get what it needs."""
    room = Room(device, "", 0, 0, 1 << 60)
    now = _need(spec, base, load, room).peak_bytes
    found: dict[str, str] = {}
    for knob in _knobs(spec, load, room):
        peak = _need(knob.spec, base, knob.load, knob.room).peak_bytes
        if peak < WORTH_IT * now and knob.field not in found:
            found[knob.field] = f"`{knob.text}` about {gigabytes(peak)}"
    if not found:
        return f"It needs about {gigabytes(now)}: use a smaller base or a machine with more."
    return f"It needs about {gigabytes(now)}; {', '.join(found.values())}."


def gigabytes(size: int) -> str:
    if size < 95e6:
        return f"{size / 1e6:.0f} MB"
    return f"{size / 1e9:.1f} GB" if size < 99.5e9 else f"{size / 1e9:,.0f} GB"


def _need(spec: TuneSpec, base: BaseInfo, load: Load, room: Room) -> Need:
    return memory.need(
        spec,
        base,
        load,
        device=room.device,
        host_bytes=room.host_bytes,
        processes=room.processes,
        shards=memory.shards(
            spec,
            base,
            device=room.device,
            size=room.memory_bytes,
            n=room.processes,
            wanted=room.shard_base,
        ),
    )


def _chosen(spec: TuneSpec, base: BaseInfo, load: Load, room: Room) -> TuneSpec:
    """What is left open, so that it fits; where it does not, as little memory as there is."""
    is_open = spec.gradient_checkpointing == "auto"
    for ways in (False, True) if is_open else (spec.gradient_checkpointing,):
        chosen = spec.model_copy(update={"gradient_checkpointing": ways})
        smaller: TuneSpec | None = chosen
        while smaller is not None:
            chosen = smaller
            if _fits(chosen, base, load, room):
                return chosen
            smaller = None if spec.microbatch_tokens else _smaller_microbatch(chosen, load, room)
    return chosen


def _why(asked: TuneSpec, chosen: TuneSpec) -> list[str]:
    said = []
    if chosen.gradient_checkpointing is True and asked.gradient_checkpointing == "auto":
        said.append(
            "Gradient checkpointing is on, as the activations would not fit into memory: the same "
            "losses, about a third more time."
        )
    if chosen.microbatch_tokens != asked.microbatch_tokens:
        said.append(
            f"Samples are computed together up to {chosen.microbatch_tokens} tokens, so that they "
            "fit into memory: the same losses."
        )
    return said


def _smaller_microbatch(spec: TuneSpec, load: Load, room: Room) -> TuneSpec | None:
    """Half of it; None where that changes nothing any more."""
    now = memory.together(spec, load, device=room.device)
    half = now // 2
    if now <= load.longest or half < SMALLEST[room.device]:
        return None
    return spec.model_copy(update={"microbatch_tokens": half})


def _fits(spec: TuneSpec, base: BaseInfo, load: Load, room: Room) -> bool:
    return _need(spec, base, load, room).peak_bytes <= room.memory_bytes * USABLE


def _memory(
    spec: TuneSpec, base: BaseInfo, load: Load, room: Room, need: Need
) -> Iterator[Problem]:
    if need.peak_bytes <= room.memory_bytes * USABLE:
        return
    largest = sorted(need.parts.items(), key=lambda part: -part[1])[:3]
    parts = ", ".join(f"{name} {gigabytes(size)}" for name, size in largest)
    yield Problem(
        file="job",
        line=None,
        path="model",
        code="memory_too_small",
        message=f"the training needs about {gigabytes(need.peak_bytes)} of memory {need.when} "
        f"({parts}), {room.told} has {gigabytes(room.memory_bytes)}",
        value=str(need.peak_bytes),
        hint=_advice(spec, base, load, room),
    )


def _host_memory(spec: TuneSpec, base: BaseInfo, room: Room) -> Iterator[Problem]:
    """Beside a GPU."""
    wanted = memory.host_bytes(spec, base, processes=room.processes)
    if room.device == "cpu" or wanted <= room.host_bytes * USABLE:
        return
    fewer = [
        f"`{PROCESSES}={n}` needs {gigabytes(size)} and fits"
        for n in _halves(room.processes, 1)
        if (size := memory.host_bytes(spec, base, processes=n)) <= room.host_bytes * USABLE
    ]
    several = f" of {room.processes} processes" if room.processes > 1 else ""
    yield Problem(
        file="job",
        line=None,
        path="model",
        code="memory_too_small",
        message=f"loading the base and writing checkpoints needs {gigabytes(wanted)} of RAM beside "
        f"the GPU{several}, this machine has {gigabytes(room.host_bytes)}",
        value=str(wanted),
        hint="; ".join(
            [*fewer[:1], "use a machine with more RAM", "`force: true` tries it all the same"]
        ),
    )


@dataclass(frozen=True)
class Knob:
    field: str
    text: str
    spec: TuneSpec
    load: Load
    room: Room


def _advice(spec: TuneSpec, base: BaseInfo, load: Load, room: Room) -> str:
    """Each change that does it alone; else the fewest together; else how much is missing."""
    alone: dict[str, str] = {}
    for knob in _knobs(spec, load, room):
        peak = _least(knob.spec, base, knob.load, knob.room)
        if knob.field not in alone and peak <= room.memory_bytes * USABLE:
            alone[knob.field] = f"`{knob.text}` needs {gigabytes(peak)} and fits"
    if alone:
        return "; ".join(alone.values())
    words: list[str] = []
    while strongest := _strongest(spec, base, load, room):
        spec, load, room = strongest.spec, strongest.load, strongest.room
        words.append(f"`{strongest.text}`")
        peak = _least(spec, base, load, room)
        if peak <= room.memory_bytes * USABLE:
            return f"{' and '.join(words)} together need {gigabytes(peak)} and fit"
    tried = f"even with {' and '.join(words)} it needs" if words else "it needs"
    return (
        f"{tried} {gigabytes(_least(spec, base, load, room))}: use a smaller base or a machine "
        "with more memory; `force: true` tries it all the same"
    )


def _least(spec: TuneSpec, base: BaseInfo, load: Load, room: Room) -> int:
    """The peak with what is open chosen well."""
    return _need(_chosen(spec, base, load, room), base, load, room).peak_bytes


def _strongest(spec: TuneSpec, base: BaseInfo, load: Load, room: Room) -> Knob | None:
    """The change that saves most; None where none saves as much as a percent."""
    best, least = None, _least(spec, base, load, room) * 0.99
    for knob in _knobs(spec, load, room):
        peak = _least(knob.spec, base, knob.load, knob.room)
        if peak < least:
            best, least = knob, float(peak)
    return best


def _knobs(spec: TuneSpec, load: Load, room: Room) -> Iterator[Knob]:
    """Single changes; of one field the smallest change first."""

    def knob(field: str, value: object, *, of: Load = load, **further: object) -> Knob:
        changed = spec.model_copy(update={field: value, **further})
        shown = str(value).lower() if isinstance(value, bool) else value
        return Knob(field, f"{field}: {shown}", changed, of, room)

    if room.device == "cpu":
        for n in _halves(room.processes, 1):
            fewer = replace(room, processes=n)
            yield Knob("processes", f"{PROCESSES}={n}", spec, load, fewer)
    if spec.gradient_checkpointing is False:
        yield knob("gradient_checkpointing", True)
    if spec.microbatch_tokens is not None:
        yield knob("microbatch_tokens", min(spec.microbatch_tokens, SMALLEST[room.device]))
    for length in _halves(1 << max(0, load.longest - 1).bit_length(), SHORTEST):
        shorter = replace(load, longest=length)
        yield knob("max_length", length, of=shorter, over_length=OverLength.SPLIT)
    if spec.method is Method.FULL:
        yield knob("method", Method.LORA)
        return
    if spec.method is Method.LORA:
        if spec.dtype == "float32":
            yield knob("dtype", "bfloat16")
        yield knob("method", Method.QLORA)
    for rank in _halves(spec.lora.rank, LOWEST_RANK):
        lora = spec.lora.model_copy(update={"rank": rank})
        smaller = spec.model_copy(update={"lora": lora})
        yield Knob("lora.rank", f"lora.rank: {rank}", smaller, load, room)
    if spec.objective is Objective.CLASSIFY and spec.classifier.phrases:
        without = spec.classifier.model_copy(update={"phrases": False})
        bare = spec.model_copy(update={"classifier": without})
        yield Knob("classifier.phrases", "classifier.phrases: false", bare, load, room)


def _halves(value: int, least: int) -> Iterator[int]:
    while value // 2 >= least:
        value //= 2
        yield value


def _disk(spec: TuneSpec, base: BaseInfo) -> int:
    """What the run's folder, the store and the engine's cache come to hold."""
    checkpoints = memory.checkpoint_bytes(spec, base) * CHECKPOINTS_AT_ONCE
    return checkpoints + memory.result_bytes(spec, base) * RESULTS_AT_ONCE


def _storage(spec: TuneSpec, base: BaseInfo, room: Room) -> Iterator[Problem]:
    wanted, free = _disk(spec, base), room.disk_free_bytes
    if free is None or wanted <= free:
        return
    smaller = "`method: lora`" if spec.method is Method.FULL else "a smaller lora.rank"
    yield Problem(
        file="job",
        line=None,
        path="model",
        code="disk_too_small",
        message=f"checkpoints and result need {gigabytes(wanted)} of disk, {gigabytes(free)} are "
        "free",
        value=str(wanted),
        hint=f"free {gigabytes(wanted - free)}, set MODISTE_HOME to a larger disk, or use "
        f"{smaller}; `force: true` tries it all the same",
    )
