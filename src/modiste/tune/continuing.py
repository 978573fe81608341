"""What an adapter to go on from is, and what a spec says against it. Needs no torch.

The server asks when a job is made, from the adapter's JSON; the trainer asks again, from the
matrices themselves. Fields at their defaults follow the adapter; others must say what it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from modiste.errors import InvalidInput
from modiste.nn.base import safetensors_header
from modiste.tune.spec import Lora

PEFT_CONFIG = "adapter_config.json"
MISTRAL_WEIGHTS, MISTRAL_PARAMS = "lora.safetensors", "params.json"
FROM_MISTRAL = {
    **{"wq": "q_proj", "wk": "k_proj", "wv": "v_proj", "wo": "o_proj"},
    **{"w1": "gate_proj", "w2": "down_proj", "w3": "up_proj"},
}


class Adapter(NamedTuple):
    ranks: frozenset[int]
    alphas: frozenset[float]
    """Scaling times the largest rank; of rsLoRA they are not compared."""
    rslora: bool
    dora: bool
    ends: frozenset[str] | None
    """Last parts of its layers' names; None where only the base tells which they are."""

    @property
    def rank(self) -> int | None:
        return max(self.ranks, default=None)


def adapter(
    scalings: Iterable[tuple[int, float]], *, rslora: bool, dora: bool, ends: Iterable[str] | None
) -> Adapter:
    """From rank and scaling of each of its layers."""
    kinds = set(scalings)
    largest = max((rank for rank, _ in kinds), default=0)
    return Adapter(
        ranks=frozenset(rank for rank, _ in kinds),
        alphas=frozenset(round(scaling * largest, 6) for _, scaling in kinds),
        rslora=rslora,
        dora=dora,
        ends=None if ends is None else frozenset(ends),
    )


def from_peft(config: Mapping[str, Any]) -> Adapter:
    """From adapter_config.json.

    Raises:
        InvalidInput: it does not say rank and alpha as PEFT does.
    """
    ranks, alphas = config.get("rank_pattern") or {}, config.get("alpha_pattern") or {}
    try:
        usual = int(config.get("r", 8)), float(config.get("lora_alpha", 8))
        kinds = {usual} | {
            (int(ranks.get(name, usual[0])), float(alphas.get(name, usual[1])))
            for name in (*ranks, *alphas)
        }
        if min(rank for rank, _ in kinds) < 1:
            raise ValueError("a rank below 1")
    except (TypeError, ValueError, AttributeError) as error:
        raise InvalidInput(f"{PEFT_CONFIG}: rank and alpha cannot be read: {error}") from None
    targets = [config.get("target_modules"), config.get("target_parameters")]
    listed = all(isinstance(names, list | None) for names in targets)
    return adapter(
        {(rank, alpha / rank) for rank, alpha in kinds},
        rslora=bool(config.get("use_rslora")),
        dora=bool(config.get("use_dora")),
        ends=[_end(str(t)) for names in targets for t in names or ()] if listed else None,
    )


def from_mistral(folder: Path) -> Adapter:
    """From lora.safetensors and params.json.

    Raises:
        InvalidInput: one of them is not there or cannot be read.
    """
    path = folder / MISTRAL_PARAMS
    try:
        lora = json.loads(path.read_text(encoding="utf-8"))["lora"]
        scaling = float(lora["scaling"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(
            f"{path} does not say the adapter's scaling ({error}); add "
            '{"lora": {"enable": true, "rank": R, "scaling": 2.0}} (2.0 is the default there)'
        ) from None
    entries = safetensors_header(folder / MISTRAL_WEIGHTS)
    ranks = {e["shape"][0] for name, e in entries.items() if name.endswith(".lora_A.weight")}
    names = {name.rpartition(".lora_")[0] for name in entries if ".lora_" in name}
    return adapter(
        {(rank, scaling) for rank in ranks},
        rslora=False,
        dora=False,
        ends={_end(n) if "experts" in n else FROM_MISTRAL.get(_end(n), _end(n)) for n in names},
    )


def contradiction(lora: Lora, there: Adapter, name: str) -> str | None:
    """Everything that the spec says against the adapter, with what to do; None if nothing."""
    default = Lora()
    found = []

    def differ(field: str, wanted: object, has: object) -> None:
        found.append(f"lora.{field} is {wanted}, the adapter has {has}")

    if lora.rank != default.rank and lora.rank not in there.ranks:
        differ("rank", lora.rank, _listed(there.ranks))
    if lora.alpha is not None and not there.rslora and there.alphas != {round(lora.alpha, 6)}:
        differ("alpha", lora.alpha, _listed(there.alphas))
    if lora.rslora and not there.rslora:
        differ("rslora", True, False)
    if lora.dora and not there.dora:
        differ("dora", True, False)
    ends = {_end(target) for target in lora.targets}
    if lora.targets != default.targets and there.ends not in (None, ends):
        differ("targets", ", ".join(lora.targets), ", ".join(sorted(there.ends or ())))
    if not found:
        return None
    return (
        f"continue_from: {'; '.join(found)}; leave these fields out to go on from {name}, or leave "
        "continue_from out to start anew"
    )


def _end(name: str) -> str:
    return name.rpartition(".")[2]


def _listed(values: Iterable[float]) -> str:
    return ", ".join(f"{value:g}" for value in sorted(values))
