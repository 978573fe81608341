"""What goes wrong with losses, seen while there is time: spikes, divergence, overfitting, NaN.

Warnings are words and change no number. They look back over steps of this process only, so a run
that continues from a checkpoint begins to look anew.
"""

from __future__ import annotations

import math
from collections import deque
from statistics import median
from typing import NamedTuple

from modiste.errors import TuningFailed
from modiste.tune.events import Warned

WINDOW_STEPS = 20
SPIKE_SIGMAS, SPIKE_FACTOR = 8.0, 1.5
"""A spike lies far outside what the last steps scattered, and far above them: batches of a few
short samples scatter by a third and more without anything being wrong."""
DIVERGED_FACTOR, DIVERGED_NATS = 1.2, 0.3
OVERFIT_FACTOR = 1.02
NAMED = 5


class LossWatch:
    """Each kind of warning is given once, spikes once a window."""

    def __init__(self, learning_rate: float, *, keeps_best: bool) -> None:
        self._learning_rate, self._keeps_best = learning_rate, keeps_best
        self._last: deque[float] = deque(maxlen=WINDOW_STEPS)
        self._lowest = math.inf
        self._quiet_until = 0
        self._said: set[str] = set()
        self._evaluations: list[float] = []

    def step(self, step: int, loss: float) -> Warned | None:
        found = self._spike(step, loss) or self._divergence(step)
        self._last.append(loss)
        if len(self._last) == WINDOW_STEPS:
            self._lowest = min(self._lowest, median(self._last))
        return found

    def evaluation(self, step: int, loss: float) -> Warned | None:
        """Three evaluations in a row above the best one."""
        self._evaluations.append(loss)
        best = min(self._evaluations)
        last = self._evaluations[-3:]
        if "overfitting" in self._said or len(last) < 3 or min(last) <= best * OVERFIT_FACTOR:
            return None
        self._said.add("overfitting")
        kept = (
            "the best weights are kept"
            if self._keeps_best
            else "`keep: best` keeps the best weights, fewer steps or more data avoid it"
        )
        text = (
            f"step {step}: the validation loss is {loss:.3f} and was {best:.3f}: the model learns "
            f"its rows by heart; {kept}"
        )
        return Warned(step, "overfitting", text)

    def _spike(self, step: int, loss: float) -> Warned | None:
        if len(self._last) < WINDOW_STEPS // 2 or step < self._quiet_until:
            return None
        middle = median(self._last)
        sigma = 1.4826 * median(abs(value - middle) for value in self._last)
        if loss <= middle + SPIKE_SIGMAS * sigma or loss <= middle * SPIKE_FACTOR:
            return None
        self._quiet_until = step + WINDOW_STEPS
        text = (
            f"step {step}: the loss jumped to {loss:.3f} from about {middle:.3f}; there are odd "
            f"rows in this step, or learning_rate {self._learning_rate:g} is high"
        )
        return Warned(step, "loss_spike", text)

    def _divergence(self, step: int) -> Warned | None:
        if "diverged" in self._said or len(self._last) < WINDOW_STEPS:
            return None
        now = median(self._last)
        if now <= max(self._lowest * DIVERGED_FACTOR, self._lowest + DIVERGED_NATS):
            return None
        self._said.add("diverged")
        text = (
            f"step {step}: the loss rose to {now:.3f} over the last {WINDOW_STEPS} steps and was "
            f"{self._lowest:.3f} before; lower learning_rate (it is {self._learning_rate:g})"
        )
        return Warned(step, "diverging", text)


class Suspect(NamedTuple):
    name: str
    """File and line where they are known."""
    loss: float


def not_finite(
    *, step: int, loss: float, norm: float, rate: float, asked_rate: float, suspects: list[Suspect]
) -> TuningFailed:
    """The error of a step that cannot be made, naming the rows that alone have no finite loss."""
    said = (
        f"step {step}: the loss is {loss} and the gradient's norm {norm} at learning rate {rate:g};"
    )
    lower = f"lower learning_rate (it is {asked_rate:g})"
    if not suspects:
        why = f"{lower}: every row of the step has a finite loss by itself"
    else:
        named = ", ".join(suspect.name for suspect in suspects[:NAMED])
        more = f" and {len(suspects) - NAMED} more" if len(suspects) > NAMED else ""
        rows = "row alone gives" if len(suspects) == 1 else "rows alone give"
        why = f"{len(suspects)} {rows} no number: {named}{more}; look at them, or {lower}"
    return TuningFailed(f"{said} {why}", code="loss_not_finite")
