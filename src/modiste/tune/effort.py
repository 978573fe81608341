"""Effort presets: one word for how much a tuning may take, and what follows from it.

A preset only fills in what is left open; each choice says why. `quick` answers whether the data
works at all, `balanced` is what we would do ourselves, `thorough` searches longer and keeps the
best. Rates depend on what learns: all weights want about a tenth of an adapter's rate (LoRA
Without Regret, Schulman 2025), pairs of answers far less than texts (TRL's and Zephyr's 5e-7 for
all weights), labels more (LOG.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Choice(NamedTuple):
    field: str
    value: Any
    why: str


EPOCHS = {"quick": 1.0, "balanced": 3.0, "thorough": 6.0}
RANKS = {"quick": 8, "balanced": 16, "thorough": 64}
FACTORS = {"quick": 2.0, "balanced": 1.0, "thorough": 0.5}
RATES = {("sft", "adapter"): 1e-4, ("sft", "full"): 1e-5, ("dpo", "adapter"): 5e-6,
         ("dpo", "full"): 5e-7, ("classify", "adapter"): 1e-3}  # fmt: skip
PATIENCE = 3


def choices(effort: str, given: Mapping[str, Any]) -> tuple[Choice, ...]:
    """What the preset decides beside what is given (canonical names; null counts as given)."""
    found = [*_length(effort, given), *_adapter(effort, given), _rate(effort, given)]
    if given.get("data.validation") or given.get("data.holdout"):
        found += _ending(effort)
    return tuple(choice for choice in found if choice.field not in given)


def _length(effort: str, given: Mapping[str, Any]) -> list[Choice]:
    if given.get("max_steps") is not None:
        return []
    why = {
        "quick": "one look at each row shows whether the data works",
        "balanced": "three looks at each row are enough for most data",
        "thorough": "six looks at each row; more are learned by heart",
    }
    return [Choice("epochs", EPOCHS[effort], why[effort])]


def _adapter(effort: str, given: Mapping[str, Any]) -> list[Choice]:
    adapter = given.get("method", "lora") != "full"
    goes_on = given.get("continue_from") or str(given.get("model")).startswith("ft:")
    if not adapter or goes_on:
        return []
    why = {
        "quick": "half the usual rank takes less memory and learns form as well",
        "balanced": "rank 16 holds what some thousands of rows teach",
        "thorough": "rank 64 holds more rows than it will see",
    }
    return [Choice("lora.rank", RANKS[effort], why[effort])]


def _rate(effort: str, given: Mapping[str, Any]) -> Choice:
    learns = "full" if given.get("method") == "full" else "adapter"
    objective = given.get("objective") or "sft"
    usual = RATES.get((objective, learns), RATES["sft", learns])
    rate = usual * FACTORS[effort]
    what = {"full": "all weights", "adapter": "adapters"}[learns]
    of = {"dpo": "pairs of answers", "classify": "labels"}.get(objective, "texts")
    pace = {"quick": "twice", "balanced": "", "thorough": "half"}[effort]
    why = f"{pace} the usual rate for {what} on {of}".strip()
    return Choice("learning_rate", rate, why)


def _ending(effort: str) -> list[Choice]:
    if effort == "quick":
        return []
    best = Choice("keep", "best", "there are rows to tell the best evaluation by")
    if effort == "balanced":
        return [best]
    stop = "the run ends after three evaluations without a better one"
    return [best, Choice("early_stopping_patience", PATIENCE, stop)]
