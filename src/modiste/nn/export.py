"""A tuned model out of here: base and adapter become a folder or file that other tools load.

`export` writes one form whole or not at all, then reads it back the way its users will and compares
logits with base and adapter as they were trained. What could not be compared is said, never passed
over. It never touches the base or the adapter.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from modiste.errors import NotYetSupported


class Form(StrEnum):
    PEFT = "peft"
    """Adapter as PEFT, transformers and vLLM load it."""
    MISTRAL = "mistral"
    """Adapter as mistral-finetune writes it: lora.safetensors, params.json, tokenizer."""
    MERGED = "merged"
    """Whole model in Hugging Face layout."""
    MERGED_MISTRAL = "merged-mistral"
    """Whole model in Mistral's consolidated layout."""
    GGUF = "gguf"
    """Whole model in one file for llama.cpp and what builds on it."""


@dataclass(frozen=True)
class Verified:
    """Logits of the exported files beside those of base and adapter, on probe prompts."""

    max_abs_diff: float
    tolerance: float
    """What the form's number format may cost at most."""
    n_positions: int
    read_by: str
    """Which reader loaded the exported files: 'PEFT 0.21.2', 'transformers 5.23.0', ..."""


@dataclass(frozen=True)
class Exported:
    form: Form
    files: tuple[Path, ...]
    verified: Verified | None
    """None when nothing was compared; `note` says why."""
    note: str


def export(
    form: Form | str,
    *,
    base: Path,
    adapter: Path | None,
    into: Path,
    verify: bool = True,
) -> Exported:
    """Write `form` of base and adapter into the new folder `into`.

    Args:
        base: folder of the base, Hugging Face or Mistral layout.
        adapter: PEFT folder, or Mistral layout (folder with lora.safetensors and params.json);
            None when `base` itself is the tuned model (full fine-tuning).

    Raises:
        InvalidInput: `into` is not empty, or base and adapter do not fit or cannot take the form.
        VerificationFailed: the files written compute something else; they are left beside `into`.
    """
    raise NotYetSupported(f"export to {Form(form)} is not there yet")
