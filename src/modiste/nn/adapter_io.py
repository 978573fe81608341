"""LoRA adapters on disk in PEFT's layout, which PEFT, transformers and vLLM load as it is.

A folder with adapter_model.safetensors (`base_model.model.<layer>.lora_A.weight`, `..lora_B..`) and
adapter_config.json. Writing is atomic and the bytes depend on the values alone, so equal adapters
have equal hashes. Reading accepts what other tools write, with ranks and alphas per layer; what is
more than LoRA (trained embeddings or biases) is refused by name, and so is DoRA unless asked for.

Legend: I inputs, O outputs, R rank, E experts.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from modiste.errors import InvalidInput

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
KEY = re.compile(
    r"(?:base_model\.model\.)?(?P<layer>.+)\."
    r"lora_(?P<side>A|B|magnitude_vector)(?:\.default)?(?:\.weight)?"
)

PREFIX = "base_model.model."
PARAMETERS = ("gate_up_proj", "down_proj")
"""Of modules that hold experts, in their order."""

OTHER_KINDS = ("use_qalora", "use_bdlora", "arrow_config", "kasa_config", "monteclora_config")
"""Settings under which the stored matrices mean something else than B A."""
CHANGES_THE_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")
"""Initialisations that move a part of the base's weights into the adapter."""


class AdapterLayer(NamedTuple):
    """delta W = scaling * B A; of experts, one for each along the first dimension of both."""

    A_RI: Tensor
    B_OR: Tensor
    scaling: float
    magnitude_O: Tensor | None = None
    """DoRA's lengths of the rows of W + delta W."""


class PeftAdapter(NamedTuple):
    layers: dict[str, AdapterLayer]
    """By the layer's name in the transformers model: `model.layers.0.self_attn.q_proj`."""
    base: str | None
    """What the adapter says it was trained on."""
    rslora: bool = False
    dora: bool = False


def save_peft(
    folder: Path,
    weights: Mapping[str, tuple[Tensor, Tensor]],
    *,
    rank: int,
    scaling: float,
    targets: Sequence[str],
    base: str,
    parameters: Sequence[str] = (),
    magnitudes: Mapping[str, Tensor] | None = None,
    scalings: Mapping[str, float] | None = None,
    rslora: bool = False,
) -> None:
    """Write (A, B) pairs by layer name; an adapter that is already there is replaced whole.

    `targets` are layer names or suffixes that select exactly these layers in the model, and
    `parameters` do the same for experts, whose matrices have three dimensions. Layers may have
    other ranks than `rank`, and `scalings` of their own. `magnitudes` make it DoRA.

    Raises:
        OSError: the folder cannot be written; what was there before is still there.
    """
    tensors = {}
    for name, (a, b) in sorted(weights.items()):
        if a.ndim == 3:
            name, a, b = _nested(name, weights), a.flatten(0, 1), b.permute(1, 2, 0).flatten(1)
        tensors[f"{PREFIX}{name}.lora_A.weight"] = a.detach().cpu().contiguous()
        tensors[f"{PREFIX}{name}.lora_B.weight"] = b.detach().cpu().contiguous()
    for name, magnitude in sorted((magnitudes or {}).items()):
        tensors[f"{PREFIX}{name}.lora_magnitude_vector"] = magnitude.detach().cpu().contiguous()
    config = {
        **_config(sorted(targets), rank=rank, alpha=_alpha(scaling, rank, rslora), base=base),
        "target_parameters": sorted(parameters) or None,
        "rank_pattern": {n: a.shape[-2] for n, (a, _) in weights.items() if a.shape[-2] != rank},
        "alpha_pattern": {
            n: alpha
            for n, (a, _) in weights.items()
            if (alpha := _alpha((scalings or {}).get(n, scaling), a.shape[-2], rslora))
            != _alpha(scaling, rank, rslora)
        },
        "use_rslora": rslora,
        "use_dora": bool(magnitudes),
    }
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    _write(partial / WEIGHTS, save(tensors, metadata={"format": "pt"}))
    _write(partial / CONFIG, (json.dumps(config, indent=2, sort_keys=True) + "\n").encode())
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def load_peft(folder: Path, *, dora: bool = False) -> PeftAdapter:
    """Read an adapter folder; tensors come in the dtype they were written in.

    Raises:
        InvalidInput: not there, not readable, or more than LoRA on linear layers and experts, and
            `dora` if that is read too. The message says which.
    """
    try:
        config: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        tensors = load_file(folder / WEIGHTS)
    except OSError as error:
        raise InvalidInput(f"{folder}: not an adapter in PEFT layout: {error}") from None
    except (ValueError, SafetensorError) as error:
        raise InvalidInput(f"{folder}: the adapter cannot be read: {error}") from None
    _refuse_more_than_lora(config, folder, dora=dora)
    parts: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        match = KEY.fullmatch(key)
        if match is None:
            raise InvalidInput(f"{folder}: tensor {key!r} is not part of a plain LoRA adapter")
        parts.setdefault(match["layer"], {})[match["side"]] = tensor
    wanted = {"A", "B"} | ({"magnitude_vector"} if config.get("use_dora") else set())
    layers: dict[str, AdapterLayer] = {}
    for name, part in parts.items():
        if set(part) != wanted or not fit_together(part["A"], part["B"]):
            raise InvalidInput(f"{folder}: layer {name} lacks a lora_A or lora_B that fit together")
        layers |= _layer(config, name, part, parts, folder)
    return PeftAdapter(
        layers,
        config.get("base_model_name_or_path"),
        rslora=bool(config.get("use_rslora")),
        dora=bool(config.get("use_dora")),
    )


def fit_together(a_RI: Tensor, b_OR: Tensor) -> bool:
    return a_RI.ndim == b_OR.ndim == 2 and a_RI.shape[0] == b_OR.shape[1]


def _layer(
    config: Mapping[str, Any],
    name: str,
    part: Mapping[str, Tensor],
    parts: Iterable[str],
    folder: Path,
) -> dict[str, AdapterLayer]:
    a, b = part["A"], part["B"]
    if not _is_experts(config, name):
        scaling = _scaling(config, name, len(a))
        return {name: AdapterLayer(a, b, scaling, part.get("magnitude_vector"))}
    name = _unnested(config, name, parts, folder)
    rank = _of_pattern(config.get("rank_pattern"), name, config.get("r", 8))
    a_ERI = a.view(-1, int(rank), a.shape[1])
    b_EOR = b.view(b.shape[0], int(rank), -1).permute(2, 0, 1).contiguous()
    return {name: AdapterLayer(a_ERI, b_EOR, _scaling(config, name, int(rank)))}


def _is_experts(config: Mapping[str, Any], name: str) -> bool:
    """Matrices of a parameter are stored under its module, those of a linear layer under its own
    name."""
    holders = {p.rpartition(".")[0] for p in config.get("target_parameters") or ()}
    module = name.removesuffix(".base_layer")
    return any(module == holder or module.endswith(f".{holder}") for holder in holders)


def _nested(name: str, names: Iterable[str]) -> str:
    """PEFT stacks the adapters of one module's parameters: the last one of the module lies
    outermost, each before it in a `base_layer` more."""
    module, _, parameter = name.rpartition(".")
    later = PARAMETERS[PARAMETERS.index(parameter) + 1 :]
    return module + ".base_layer" * sum(f"{module}.{other}" in names for other in later)


def _unnested(config: Mapping[str, Any], name: str, names: Iterable[str], folder: Path) -> str:
    module, depth = name.removesuffix(".base_layer"), name.count(".base_layer")
    adapted = [
        p
        for p in PARAMETERS
        if any(f"{module}.{p}".endswith(f".{t}") for t in config["target_parameters"])
    ]
    n_nested = sum(n.removesuffix(".base_layer") == module for n in names)
    if len(adapted) != n_nested or depth >= n_nested:
        raise InvalidInput(
            f"{folder}: {module} has adapters for {n_nested} parameters; only those for "
            f"{' and '.join(PARAMETERS)} are read"
        )
    return f"{module}.{adapted[-1 - depth]}"


def _alpha(scaling: float, rank: int, rslora: bool) -> float:
    """What PEFT divides again: 32 for a scaling of 32 / sqrt 8, whatever the last bit says."""
    return float(f"{scaling * (math.sqrt(rank) if rslora else rank):.12g}")


def _config(targets: list[str], *, rank: int, alpha: float, base: str) -> dict[str, Any]:
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": rank,
        "lora_alpha": int(alpha) if alpha == int(alpha) else alpha,
        "target_modules": targets or None,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "modules_to_save": None,
        "layers_to_transform": None,
        "layers_pattern": None,
        "rank_pattern": {},
        "alpha_pattern": {},
        "use_rslora": False,
        "use_dora": False,
    }


def _scaling(config: Mapping[str, Any], layer: str, rank: int) -> float:
    """alpha / r (or / sqrt r), with PEFT's per-layer patterns: a suffix of the name, or a regex."""
    alpha = float(_of_pattern(config.get("alpha_pattern"), layer, config.get("lora_alpha", 8)))
    return alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank


def _of_pattern(patterns: Mapping[str, Any] | None, layer: str, otherwise: Any) -> Any:
    for pattern, value in (patterns or {}).items():
        if re.fullmatch(rf"(.*\.)?({pattern})", layer):
            return value
    return otherwise


def _refuse_more_than_lora(config: Mapping[str, Any], folder: Path, *, dora: bool) -> None:
    extras = {
        f"peft_type {config.get('peft_type')}": config.get("peft_type") != "LORA",
        "DoRA": config.get("use_dora") and not dora,
        "trained biases": config.get("bias", "none") != "none" or config.get("lora_bias"),
        "fully trained modules": config.get("modules_to_save"),
        "trained tokens": config.get("trainable_token_indices"),
        "transposed weights": config.get("fan_in_fan_out"),
        "replicated layers": config.get("layer_replication"),
        "activation tokens (aLoRA)": config.get("alora_invocation_tokens"),
    }
    extras |= {kind: config.get(kind) for kind in OTHER_KINDS}
    start = str(config.get("init_lora_weights", True)).lower()
    extras[f"init_lora_weights {start!r}, which changed the base (convert it with PEFT)"] = (
        start.startswith(CHANGES_THE_BASE)
    )
    found = [name for name, there in extras.items() if there]
    if found:
        raise InvalidInput(
            f"{folder}: only plain LoRA is read, this adapter has {', '.join(found)}"
        )


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
