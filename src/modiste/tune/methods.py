"""What the spec's method makes of a base: frozen or not, in which numbers, with which adapters.

LoRA: the base frozen in the machine's dtype. QLoRA: the base in four bits, products in the
machine's dtype. Full: everything learns, in fp32. An adapter to continue from decides rank, scaling
and layers; what the spec says otherwise is refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from torch import nn
from transformers import PreTrainedModel

from modiste.errors import InvalidInput
from modiste.nn.adapter_io import PeftAdapter, load_peft
from modiste.nn.adapters import Adapters
from modiste.nn.base import describe_base, safetensors_header, weight_files
from modiste.nn.loading import load_base
from modiste.nn.lora import attach, attach_like
from modiste.nn.mistral_adapter import is_mistral_adapter, load_mistral
from modiste.nn.quantized import quantize_model
from modiste.nn.sharded import spread
from modiste.tune import continuing
from modiste.tune.machine import Machine
from modiste.tune.spec import Lora, Method, TuneSpec

SIXTEEN_BITS = {"BF16": torch.bfloat16, "F16": torch.float16}


def refuse_contradictions(spec: TuneSpec, machine: Machine) -> None:
    """Raises InvalidInput: the spec says nothing wrong, but this machine was chosen for another."""
    if spec.method is Method.FULL and machine.dtype != "float32":
        raise InvalidInput(
            f"method full learns the weights themselves, which takes float32; this run began with "
            f"{machine.dtype}: start it anew"
        )


def load_model(
    spec: TuneSpec, base_path: Path, machine: Machine, *, sharded: bool = False
) -> PreTrainedModel:
    """On the machine's device, with everything frozen; spread over the processes if `sharded`.

    Raises:
        InvalidInput: the base cannot be loaded.
    """
    if spec.method is not Method.QLORA:
        model = load_base(base_path, dtype=machine.torch_dtype).model
        if sharded:
            spread(model, device=machine.device)
            return model
        return _moved(model, machine)
    dtype = _stored_dtype(base_path) or machine.torch_dtype
    model = load_base(base_path, dtype=dtype).model
    quantize_model(model, dtype=machine.torch_dtype, device=machine.device)
    return model


def _moved(model: PreTrainedModel, machine: Machine) -> PreTrainedModel:
    if machine.device != "cpu":
        cast(nn.Module, model).to(torch.device(machine.device))
    return model


def _stored_dtype(base_path: Path) -> torch.dtype | None:
    """Of 16 bits, where all weights are: read as it lies there, a base that will be in four bits
    never takes more than its size on disk."""
    files = weight_files(base_path, describe_base(base_path).layout)
    entries = [entry for file in files for entry in safetensors_header(file).items()]
    names = {entry["dtype"] for name, entry in entries if name != "__metadata__"}
    return SIXTEEN_BITS[names.pop()] if len(names) == 1 and names <= set(SIXTEEN_BITS) else None


def adapters(spec: TuneSpec, model: PreTrainedModel, *, pack: bool, beside: int = 0) -> Adapters:
    """Fresh ones, or those of `continue_from`; `beside` values of the vector are for others.

    Raises:
        InvalidInput: there are no such layers, or the adapter contradicts the spec.
    """
    lora = spec.lora
    if spec.continue_from is not None:
        head_dim = getattr(model.config.get_text_config(), "head_dim", None)
        adapter = read_adapter(Path(spec.continue_from), head_dim=head_dim)
        _refuse_conflicts(lora, adapter, spec.continue_from)
        return attach_like(model, adapter, seed=spec.seed, pack=pack, dropout=lora.dropout)
    return attach(
        model,
        rank=lora.rank,
        scaling=lora.scaling,
        targets=lora.targets,
        seed=spec.seed,
        pack=pack,
        dropout=lora.dropout,
        rslora=lora.rslora,
        dora=lora.dora,
        beside=beside,
    )


def read_adapter(folder: Path, *, head_dim: int | None) -> PeftAdapter:
    """In PEFT's layout, with DoRA and experts, or in Mistral's.

    Raises:
        InvalidInput: it is not there or holds more; the message says which.
    """
    if not folder.is_dir():
        raise InvalidInput(
            f"continue_from: {folder} is no folder; give one that holds an adapter in PEFT layout "
            "(adapter_config.json and adapter_model.safetensors) or Mistral's (lora.safetensors)"
        )
    if is_mistral_adapter(folder) and head_dim is not None:
        return PeftAdapter(load_mistral(folder, head_dim=head_dim), base=None)
    return load_peft(folder, dora=True)


def _refuse_conflicts(lora: Lora, adapter: PeftAdapter, name: str) -> None:
    there = continuing.adapter(
        {(layer.A_RI.shape[-2], layer.scaling) for layer in adapter.layers.values()},
        rslora=adapter.rslora,
        dora=adapter.dora,
        ends={layer.rpartition(".")[2] for layer in adapter.layers},
    )
    wrong = continuing.contradiction(lora, there, name)
    if wrong is not None:
        raise InvalidInput(wrong)
