"""All adapters of one model: one flat vector that learns, and its parts by the layers' names.

Made by lora.py, which puts them beside the layers; written as adapter_io.py lays them out.

Legend: O outputs, I inputs, R rank, E experts, P adapter parameters in all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from modiste.errors import InvalidInput
from modiste.nn.adapter_io import save_peft
from modiste.nn.dora import DoraLinear
from modiste.nn.dropout import Dropout
from modiste.nn.experts import ExpertsLora
from modiste.nn.flat import Flat
from modiste.nn.lora_linear import LoraLinear


@dataclass(frozen=True)
class Settings:
    """How the layers of one run are adapted."""

    rank: int
    scaling: float
    dropout: Dropout
    rslora: bool = False
    dora: bool = False
    pack: bool = True
    seed: int = 0
    ranks: Mapping[str, int] = field(default_factory=dict)
    """Of layers with another one."""
    scalings: Mapping[str, float] = field(default_factory=dict)

    def rank_of(self, name: str) -> int:
        return self.ranks.get(name, self.rank)

    def scaling_of(self, name: str) -> float:
        return self.scalings.get(name, self.scaling)


class Adapters:
    """All adapters of one model: `flat` (P,) is what learns, `flat.grad` is always there."""

    def __init__(
        self,
        flat: Flat,
        modules: dict[str, LoraLinear | ExpertsLora],
        settings: Settings,
        *,
        targets: tuple[str, ...],
        parameters: tuple[str, ...] = (),
    ) -> None:
        self.flat = flat.parameter
        self.room = flat
        """Where others take the values that were left for them, behind all adapters."""
        self.modules = modules
        self.settings = settings
        self.targets = targets
        """Names or suffixes that select these layers, as PEFT's target_modules."""
        self.parameters = parameters
        """The same for experts, as PEFT's target_parameters."""
        magnitudes = [m.magnitude for m in modules.values() if isinstance(m, DoraLinear)]
        self.n_decayed = flat.n_taken - sum(m.numel() for m in magnitudes)

    @property
    def rank(self) -> int:
        return self.settings.rank

    @property
    def scaling(self) -> float:
        return self.settings.scaling

    def weights(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Module name to (A, B): live views, valid until the next step. Those of experts have
        three dimensions, (E, R, I) and (E, O, R)."""
        return {n: (m.lora_A.detach(), m.lora_B.detach()) for n, m in self.modules.items()}

    def magnitudes(self) -> dict[str, Tensor]:
        """(O,) each, of DoRA."""
        return {
            n: m.magnitude.detach() for n, m in self.modules.items() if isinstance(m, DoraLinear)
        }

    def load(
        self,
        weights: Mapping[str, tuple[Tensor, Tensor]],
        magnitudes: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Copy (A, B) pairs in, and DoRA's magnitudes where there are any.

        Raises:
            InvalidInput: a module missing, superfluous, or of another shape.
        """
        wrong = sorted(set(weights) ^ set(self.modules))
        for name, module in self.modules.items():
            if name not in weights:
                continue
            a, b = weights[name]
            if a.shape != module.lora_A.shape or b.shape != module.lora_B.shape:
                wrong.append(f"{name} ({tuple(a.shape)}, {tuple(b.shape)})")
        wrong += sorted(set(magnitudes or {}) ^ set(self.magnitudes()))
        if wrong:
            raise InvalidInput(f"this adapter does not fit the model: {', '.join(wrong[:5])}")
        with torch.no_grad():
            for name, (a, b) in weights.items():
                self.modules[name].lora_A.copy_(a)
                self.modules[name].lora_B.copy_(b)
            for name, magnitude in (magnitudes or {}).items():
                cast(DoraLinear, self.modules[name]).magnitude.copy_(magnitude)

    def zero_grad(self) -> None:
        cast(Tensor, self.flat.grad).zero_()

    def training(self, *at: int) -> AbstractContextManager[None]:
        return self.settings.dropout.training(*at)

    def save(self, folder: Path, *, base: str) -> None:
        save_peft(
            folder,
            self.weights(),
            rank=self.rank,
            scaling=self.scaling,
            targets=self.targets,
            base=base,
            parameters=self.parameters,
            magnitudes=self.magnitudes(),
            scalings=self.settings.scalings,
            rslora=self.settings.rslora,
        )

    @contextmanager
    def disabled(self) -> Iterator[None]:
        """The bare base inside the block."""
        for module in self.modules.values():
            module.enabled = False
        try:
            yield
        finally:
            for module in self.modules.values():
                module.enabled = True
