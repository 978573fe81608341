"""A plan for people: steps, time, memory, disk, arithmetic, money, and what each is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modiste.cli.output import duration, print_fields, size

SMALL_SHARE = 0.02
"""Parts that are less of the whole are not named."""


def print_plan(plan: Mapping[str, Any]) -> None:
    """The answer to a dry run; a server that tells no figures gets the short form."""
    print_fields(fields(plan))


def fields(plan: Mapping[str, Any]) -> list[tuple[str, object]]:
    figures: Mapping[str, Any] = plan.get("figures") or {}
    told: list[tuple[str, object]] = [
        ("steps", _steps(plan, figures)),
        ("tokens", _tokens(plan)),
    ]
    if figures:
        told += [
            ("takes about", _time(figures["duration"])),
            ("speed", f"{figures['speed']['tokens_per_s']:,.0f} tokens/s, {_basis(figures)}"),
            ("memory", _memory(figures)),
            ("disk", _disk(figures)),
            ("arithmetic", _arithmetic(figures)),
        ]
    else:
        told.append(("takes about", duration(plan.get("expected_duration_seconds"))))
    cost = plan.get("cost")
    told.append(("costs", f"{cost:.2f} {plan.get('cost_currency')}" if cost else None))
    told.append(("in words", plan.get("details")))
    return told


def _steps(plan: Mapping[str, Any], figures: Mapping[str, Any]) -> str:
    text = f"{_count(plan.get('training_steps'))} of about "
    text += f"{_count(plan.get('train_tokens_per_step'))} tokens"
    if figures:
        text += f" ({figures['batch_size']} sequences of at most {figures['max_length']})"
    return text


def _tokens(plan: Mapping[str, Any]) -> str:
    epochs = plan.get("epochs")
    passes = "" if epochs is None else f", {epochs:.3g} epochs of {_count(plan['data_tokens'])}"
    return f"{_count(plan.get('train_tokens'))}{passes}"


def _time(spent: Mapping[str, float]) -> str:
    total = spent["total_s"]
    parts = {name.removesuffix("_s"): s for name, s in spent.items() if name != "total_s"}
    return f"{duration(total)}: {_parts(parts, total, duration)}"


def _memory(figures: Mapping[str, Any]) -> str:
    memory, room = figures["memory"], figures["room"]
    peak = memory["peak_bytes"]
    of = f" of the {size(room['memory_bytes'])} that {room['owner']} has" if room else ""
    return f"{size(peak)} {memory['when']}{of}: {_parts(memory['parts'], peak, size)}"


def _disk(figures: Mapping[str, Any]) -> str:
    room = figures["room"]
    free = room and room.get("disk_free_bytes")
    return size(figures["disk_bytes"]) + (f" of the {size(free)} that are free" if free else "")


def _arithmetic(figures: Mapping[str, Any]) -> str:
    text = f"{_scaled(figures['flops'])}FLOP at {_scaled(figures['flops_per_s'])}FLOP/s"
    mfu = figures.get("mfu")
    return text if mfu is None else f"{text}, {mfu:.0%} of the device's peak"


def _basis(figures: Mapping[str, Any]) -> str:
    return str(figures["speed"]["rests_on"])


def _parts(parts: Mapping[str, float], total: float, shown: Any) -> str:
    largest = sorted(parts.items(), key=lambda part: -part[1])
    return ", ".join(f"{n} {shown(v)}" for n, v in largest if v >= SMALL_SHARE * total)


def _scaled(value: float) -> str:
    for power, letter in ((18, "E"), (15, "P"), (12, "T"), (9, "G")):
        if value >= 10**power:
            return f"{value / 10**power:.3g} {letter}"
    return f"{value:,.0f} "


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"
