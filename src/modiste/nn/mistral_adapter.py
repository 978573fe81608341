"""LoRA adapters in Mistral's layout, as mistral-finetune writes and mistral-inference loads them.

A folder with lora.safetensors (`layers.N.attention.wq.lora_A.weight`, and lora_B) and params.json,
whose `lora` block holds rank and scaling; both layouts of a base take it. Inside Modiste an adapter
has Hugging Face names and rotary order, so the rows of lora_B for wq and wk are permuted on the way
(consolidated.py says why).

Legend: I inputs, O outputs, R rank.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from modiste.errors import InvalidInput
from modiste.nn import consolidated
from modiste.nn.adapter_io import AdapterLayer, fit_together

WEIGHTS = "lora.safetensors"
PARAMS = "params.json"
KEY = re.compile(r"(?P<module>layers\..+)\.lora_(?P<side>[AB])\.weight")


def is_mistral_adapter(folder: Path) -> bool:
    return (folder / WEIGHTS).is_file()


def load_mistral(folder: Path, *, head_dim: int) -> dict[str, AdapterLayer]:
    """The adapter in `folder` by Hugging Face layer names.

    Raises:
        InvalidInput: not readable, not LoRA, or params.json does not say rank and scaling.
    """
    scaling = _lora(folder)["scaling"]
    try:
        tensors = load_file(folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise InvalidInput(f"{folder / WEIGHTS}: the adapter cannot be read: {error}") from None
    halves: dict[str, dict[str, Tensor]] = {}
    problems = []
    for key, tensor in tensors.items():
        match = KEY.fullmatch(key)
        module = consolidated.rename_module(match["module"]) if match else None
        if match is None or module is None:
            problems.append(f"{key!r} is not a LoRA matrix of a Mistral decoder")
        else:
            halves.setdefault(module, {})[match["side"]] = tensor
    for module, half in halves.items():
        if set(half) != {"A", "B"} or not fit_together(half["A"], half["B"]):
            problems.append(f"{module} lacks a lora_A or lora_B that fit together")
    if problems or not halves:
        told = "; ".join(problems[:5]) or "it holds no matrices"
        raise InvalidInput(f"{folder / WEIGHTS}: {told}")
    layers = {}
    for module, half in halves.items():
        b_OR = half["B"]
        if consolidated.is_rotary(f"{module}.weight"):
            b_OR = consolidated.halves_from_pairs(b_OR, head_dim=head_dim)
        layers[module] = AdapterLayer(half["A"], b_OR, scaling)
    return layers


def save_mistral(
    folder: Path,
    layers: Mapping[str, AdapterLayer],
    *,
    config: Mapping[str, Any],
    dtype: torch.dtype,
) -> list[Path]:
    """Write `layers` for a base with this config.json into the existing `folder`.

    mistral-inference takes one rank, one scaling and all layers, in the base's dtype: smaller ranks
    and layers without an adapter are filled with zeros, other scalings go into lora_B.

    Raises:
        InvalidInput: the base is none that Mistral's layout holds, or a layer has no name in it.
    """
    params = consolidated.as_params(config, where=folder)
    rank = max(len(layer.A_RI) for layer in layers.values())
    scaling = next(iter(layers.values())).scaling
    tensors = {}
    strange = [name for name in layers if consolidated.module_in_mistral(name) is None]
    if strange:
        raise InvalidInput(f"Mistral's layout has no place for {', '.join(strange[:5])}")
    for name, (inputs, outputs) in linear_layers(params).items():
        layer = layers.get(name)
        a_RI, b_OR = torch.zeros(rank, inputs), torch.zeros(outputs, rank)
        if layer is not None:
            a_RI[: len(layer.A_RI)] = layer.A_RI
            b_OR[:, : len(layer.A_RI)] = layer.B_OR.float() * (layer.scaling / scaling)
            if consolidated.is_rotary(f"{name}.weight"):
                b_OR = consolidated.pairs_from_halves(b_OR, head_dim=params["head_dim"])
        stem = consolidated.module_in_mistral(name)
        tensors[f"{stem}.lora_A.weight"] = a_RI.to(dtype).contiguous()
        tensors[f"{stem}.lora_B.weight"] = b_OR.to(dtype).contiguous()
    (folder / WEIGHTS).write_bytes(save(tensors, metadata={"format": "pt"}))
    params["lora"] = {"enable": True, "rank": rank, "dropout": 0.0, "scaling": scaling}
    (folder / PARAMS).write_text(json.dumps(params, indent=4) + "\n", encoding="utf-8")
    return [folder / WEIGHTS, folder / PARAMS]


def linear_layers(params: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """Hugging Face names and (inputs, outputs) of everything mistral-finetune adapts."""
    hidden, wide, head = params["dim"], params["hidden_dim"], params["head_dim"]
    q, kv = params["n_heads"] * head, params["n_kv_heads"] * head
    attention = {"q_proj": (hidden, q), "k_proj": (hidden, kv), "v_proj": (hidden, kv)}
    attention["o_proj"] = (q, hidden)
    found: dict[str, tuple[int, int]] = {}
    for index in range(params["n_layers"]):
        stem = f"model.layers.{index}"
        found |= {f"{stem}.self_attn.{name}": sizes for name, sizes in attention.items()}
        sizes_of = {"w1": (hidden, wide), "w2": (wide, hidden), "w3": (hidden, wide)}
        if moe := params.get("moe"):
            for expert in range(moe["num_experts"]):
                expert_stem = f"{stem}.block_sparse_moe.experts.{expert}"
                found |= {f"{expert_stem}.{name}": sizes for name, sizes in sizes_of.items()}
        else:
            theirs = {"w1": "gate_proj", "w2": "down_proj", "w3": "up_proj"}
            found |= {f"{stem}.mlp.{theirs[name]}": sizes for name, sizes in sizes_of.items()}
    return found


def _lora(folder: Path) -> dict[str, Any]:
    """The `lora` block of params.json."""
    path = folder / PARAMS
    advice = 'add {"lora": {"enable": true, "rank": R, "scaling": 2.0}} (2.0 is the default there)'
    try:
        lora = json.loads(path.read_text(encoding="utf-8")).get("lora")
    except OSError:
        raise InvalidInput(
            f"{path} is missing, so rank and scaling are unknown; {advice}"
        ) from None
    except (ValueError, AttributeError) as error:
        raise InvalidInput(f"{path}: not a JSON object: {error}") from None
    scaling = lora.get("scaling") if isinstance(lora, dict) else None
    if isinstance(scaling, bool) or not isinstance(scaling, int | float):
        raise InvalidInput(f"{path}: lora.scaling is {scaling!r}, expected a number; {advice}")
    return {**lora, "scaling": float(scaling)}
