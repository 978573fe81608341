"""How much arithmetic a token costs, and what share of a processor's peak a run reaches.

Counted as the field counts: 2 operations per parameter and token for the forward, 2 for the input
gradients, 2 for the weight gradients. LoRA has no weight gradients of the base, hence the 4·N rule;
full fine-tuning 6·N. What checkpointing computes twice is not counted: MFU is useful work only.
"""

from __future__ import annotations

from modiste.nn.base import BaseInfo
from modiste.tune.spec import Method, TuneSpec

FORWARD = 2
"""Operations per parameter and token."""

PEAK_BF16: tuple[tuple[str, float], ...] = (
    ("B200", 2.25e15),
    ("B100", 1.75e15),
    ("GH200", 9.89e14),
    ("H200", 9.89e14),
    ("H100 PCIe", 7.56e14),
    ("H100 NVL", 8.35e14),
    ("H100", 9.89e14),
    ("H800", 9.89e14),
    ("H20", 1.48e14),
    ("A100", 3.12e14),
    ("A800", 3.12e14),
    ("L40S", 3.62e14),
    ("L40", 1.81e14),
    ("L4", 1.21e14),
    ("A40", 1.50e14),
    ("A10G", 0.70e14),
    ("A10", 1.25e14),
    ("RTX 6000 Ada", 3.64e14),
    ("RTX 5090", 2.10e14),
    ("RTX 4090", 1.65e14),
    ("RTX 3090", 0.71e14),
    ("V100", 1.25e14),
    ("T4", 0.65e14),
)
"""Dense bf16 (fp16 where there is no bf16) of the vendor's data sheets, without sparsity; the
first name that occurs in the device's name counts."""


def per_token(spec: TuneSpec, base: BaseInfo) -> float:
    """Useful operations to train on one token."""
    passes = 3 if spec.method is Method.FULL else 2
    return FORWARD * passes * base.n_active_parameters


def per_token_forward(base: BaseInfo) -> float:
    """Of evaluation, and of the reference in preference tuning."""
    return FORWARD * base.n_active_parameters


def peak_of(device_name: str) -> float | None:
    """Operations per second in bf16 of a GPU by its name; None where it is not known."""
    for name, peak in PEAK_BF16:
        if name.lower() in device_name.lower():
            return peak
    return None


def mfu(spec: TuneSpec, base: BaseInfo, *, tokens_per_s: float, device_name: str) -> float | None:
    """Share of the peak that went into useful work, 0 to 1; None where the peak is not known."""
    peak = peak_of(device_name)
    return None if peak is None else tokens_per_s * per_token(spec, base) / peak
