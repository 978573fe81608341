"""What the built-in engine cannot serve, and why: read from the files' JSON, without torch.

Such models are trained, certified by reading their files afresh (work/reread.py) and exported; a
completion with one is refused in these words.
"""

from __future__ import annotations

import json
from pathlib import Path

from modiste.errors import InvalidInput
from modiste.nn.shape import read_shape

ADAPTER_CONFIG = "adapter_config.json"


def why_not(base: Path, adapter: Path | None = None) -> str | None:
    """Why the engine cannot serve the base in this folder, with the PEFT adapter in that one.

    None when nothing is known against it.
    """
    try:
        read_shape(base)
    except InvalidInput as error:
        return error.message.removeprefix(f"{base}: ")
    return None if adapter is None else _more_than_lora(adapter)


def _more_than_lora(adapter: Path) -> str | None:
    try:
        config = json.loads((adapter / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not config.get("use_dora"):
        return None
    return "the built-in engine serves plain LoRA, and this adapter has DoRA"
