"""A PEFT LoRA folder becomes the deltas that the decoder adds.

Ranks, alphas, rsLoRA scaling and per-module patterns are honoured; modules that one fused linear
computes (q, k, v and gate, up) are fused here too. Whatever else PEFT can save (DoRA, biases, whole
modules, initialisations that changed the base, layers of another model) is refused, everything at
once: an adapter that is applied in part answers like nobody trained it.

Legend: D inputs and O outputs of a module, r rank of a module, R sum of the ranks fused at a site.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from modiste.errors import InvalidInput
from modiste.nn.deltas import AdapterDeltas, Delta, Site
from modiste.nn.shape import DecoderShape

CONFIG_FILE, WEIGHTS_FILE = "adapter_config.json", "adapter_model.safetensors"
STEM = "base_model.model."
KEY = re.compile(
    r"(?P<module>model\.layers\.(?P<layer>\d+)\.(?:self_attn|mlp)\.(?P<name>\w+))"
    r"\.lora_(?P<half>[AB])\.weight"
)
MUST_BE_OFF = (
    "use_dora",
    "lora_bias",
    "fan_in_fan_out",
    "modules_to_save",
    "trainable_token_indices",
    "target_parameters",
    "layer_replication",
    "alora_invocation_tokens",
    "use_qalora",
    "use_bdlora",
    "arrow_config",
    "kasa_config",
    "monteclora_config",
)
CHANGES_THE_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")
"""Initialisations that move part of the base's weights into the adapter."""


class Module(NamedTuple):
    """Where a module's outputs lie in the fused output of its site."""

    site: Site
    first: int
    outputs: int
    inputs: int


def size_bytes(folder: Path) -> int:
    """Bytes of the weights file, from which the memory it will take follows.

    Raises:
        InvalidInput: the folder is no PEFT adapter.
    """
    missing = [name for name in (CONFIG_FILE, WEIGHTS_FILE) if not (folder / name).is_file()]
    if missing:
        raise InvalidInput(f"{folder}: not a PEFT adapter, {' and '.join(missing)} missing")
    return (folder / WEIGHTS_FILE).stat().st_size


def load_adapter(folder: Path, shape: DecoderShape) -> AdapterDeltas:
    """The adapter in `folder`, for a base of this shape.

    Raises:
        InvalidInput: naming everything in it that cannot be applied to this base.
    """
    size_bytes(folder)
    config = _read_config(folder)
    halves, problems = _read_halves(folder)
    problems = _config_problems(config) + problems
    modules = modules_of(shape)
    found: dict[tuple[int, Site], list[tuple[Module, Delta]]] = {}
    for (layer, name), (down_rD, up_Or, path) in halves.items():
        module = modules.get(name)
        if module is None or layer >= shape.n_layers:
            problems.append(f"{path} is not in this base ({shape.n_layers} layers)")
        elif down_rD.shape[1:] != (module.inputs,) or up_Or.shape[:1] != (module.outputs,):
            problems.append(
                f"{path} maps {down_rD.shape[1]} to {up_Or.shape[0]} values, this base needs "
                f"{module.inputs} to {module.outputs}"
            )
        elif len(down_rD) != (rank := _by_pattern(config, "rank_pattern", path, config["r"])):
            problems.append(f"{path} has rank {len(down_rD)}, {CONFIG_FILE} says {rank}")
        else:
            delta = Delta(down_rD, up_Or * _scale(config, path, len(down_rD)))
            found.setdefault((layer, module.site), []).append((module, delta))
    if problems:
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise InvalidInput(
            f"{folder}: this adapter cannot be served: {'; '.join(problems[:5])}{more}"
        )
    widths = {site: sum(m.outputs for m in modules.values() if m.site == site) for site in Site}
    return [
        {site: _fuse(found[layer, site], widths[site]) for site in Site if (layer, site) in found}
        for layer in range(shape.n_layers)
    ]


def modules_of(shape: DecoderShape) -> dict[str, Module]:
    hidden, q, kv, wide = (
        shape.hidden_size,
        shape.query_size,
        shape.kv_size,
        shape.intermediate_size,
    )
    return {
        "q_proj": Module(Site.QKV, 0, q, hidden),
        "k_proj": Module(Site.QKV, q, kv, hidden),
        "v_proj": Module(Site.QKV, q + kv, kv, hidden),
        "o_proj": Module(Site.O, 0, hidden, q),
        "gate_proj": Module(Site.GATE_UP, 0, wide, hidden),
        "up_proj": Module(Site.GATE_UP, wide, wide, hidden),
        "down_proj": Module(Site.DOWN, 0, hidden, wide),
    }


def _fuse(parts: list[tuple[Module, Delta]], outputs: int) -> Delta:
    """Ranks side by side; each module's outputs see its own ranks only."""
    parts = sorted(parts, key=lambda part: part[0].first)
    down_RD = torch.cat([delta.down_RD for _, delta in parts])
    up_OR = torch.zeros(outputs, len(down_RD))
    rank = 0
    for module, delta in parts:
        end = rank + len(delta.down_RD)
        up_OR[module.first : module.first + module.outputs, rank:end] = delta.up_OR
        rank = end
    return Delta(down_RD, up_OR)


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        if not isinstance(config["r"], int) or not isinstance(config["lora_alpha"], int | float):
            raise TypeError("r and lora_alpha must be numbers")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"{folder / CONFIG_FILE}: not a LoRA configuration: {error}") from None
    config_: dict[str, Any] = config
    return config_


def _config_problems(config: Mapping[str, Any]) -> list[str]:
    problems = [f"{name} is set" for name in MUST_BE_OFF if config.get(name)]
    if config.get("peft_type", "LORA") != "LORA":
        problems.append(f"peft_type is {config['peft_type']!r}, only 'LORA'")
    if config.get("bias", "none") != "none":
        problems.append(f"bias is {config['bias']!r}, only 'none'")
    start = str(config.get("init_lora_weights", True)).lower()
    if start.startswith(CHANGES_THE_BASE):
        problems.append(
            f"init_lora_weights is {start!r}, which changed the base; convert it with PEFT's "
            "path_initial_model_for_weight_conversion"
        )
    return problems


class _Halves(NamedTuple):
    modules: dict[tuple[int, str], tuple[Tensor, Tensor, str]]
    """(layer, name) to A (r, D), B (O, r) in float32 and the module's path."""
    problems: list[str]


def _read_halves(folder: Path) -> _Halves:
    try:
        tensors = load_file(folder / WEIGHTS_FILE)
    except (SafetensorError, OSError) as error:
        raise InvalidInput(f"{folder / WEIGHTS_FILE}: not readable: {error}") from None
    problems: list[str] = []
    halves: dict[tuple[int, str], dict[str, Tensor]] = {}
    paths: dict[tuple[int, str], str] = {}
    for key, tensor in tensors.items():
        match = KEY.fullmatch(key.removeprefix(STEM))
        if match is None or tensor.dim() != 2:
            problems.append(f"{key} {tuple(tensor.shape)} is not a LoRA of a decoder layer")
            continue
        place = (int(match["layer"]), match["name"])
        paths[place] = match["module"]
        halves.setdefault(place, {})[match["half"]] = tensor.float()
    complete = {}
    for place, half in halves.items():
        if len(half) == 2 and half["A"].shape[0] == half["B"].shape[1]:
            complete[place] = (half["A"], half["B"], paths[place])
        else:
            problems.append(f"{paths[place]} lacks a half, or its halves differ in rank")
    if not tensors:
        problems.append("it holds no tensors")
    return _Halves(complete, problems)


def _scale(config: Mapping[str, Any], path: str, rank: int) -> float:
    alpha = float(_by_pattern(config, "alpha_pattern", path, config["lora_alpha"]))
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _by_pattern(config: Mapping[str, Any], field: str, path: str, default: Any) -> Any:
    """PEFT's rule: the first pattern that matches the end of the module's path."""
    for pattern, value in (config.get(field) or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", path):
            return value
    return default
