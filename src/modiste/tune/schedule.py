"""The learning rate of each step: a pure function of spec and step number, so resuming needs none.

All schedules warm up linearly and count steps from 1; cosine and linear end just above zero.
"""

from __future__ import annotations

import math

from modiste.tune.spec import TuneSpec


def learning_rate(spec: TuneSpec, step: int, total_steps: int) -> float:
    warmup = round(spec.warmup_ratio * total_steps)
    if step <= warmup:
        return spec.learning_rate * step / warmup
    done = (step - 1 - warmup) / max(1, total_steps - warmup)
    match spec.lr_schedule:
        case "cosine":
            return spec.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
        case "linear":
            return spec.learning_rate * (1 - done)
        case "constant":
            return spec.learning_rate
