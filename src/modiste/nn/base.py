"""A base model on disk: what it is, and whether all of it is there.

Two layouts are read: Hugging Face (config.json + safetensors, sharded or not) and Mistral's
consolidated one (params.json + consolidated*.safetensors). Pickled weights (.bin, .pth) are
refused, and so is anything incomplete; the refusal names what is missing. `describe_base` reads
only JSON and safetensors headers and needs no torch, so the server front may call it.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from modiste.errors import InvalidInput
from modiste.nn import consolidated


class Layout(StrEnum):
    HUGGING_FACE = "hugging-face"
    MISTRAL = "mistral-consolidated"


@dataclass(frozen=True)
class BaseInfo:
    """A base as its files describe it. Sizes are those of the text decoder."""

    n_parameters: int
    """Values in the weight files; tied embeddings count once."""
    max_context_length: int
    architecture: str
    """Model class, such as `MistralForCausalLM`."""
    layout: Layout
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    weights_bytes: int
    n_experts: int = 0
    """Of each layer's mixture; 0 where every token goes through the same weights."""
    n_experts_per_token: int = 0
    expert_size: int = 0
    """Intermediate size of one expert."""
    tied: bool = False
    """The head is the embedding."""

    @property
    def n_active_parameters(self) -> int:
        """Values that one token is multiplied with: all but the experts it does not go to."""
        idle = max(0, self.n_experts - self.n_experts_per_token)
        return self.n_parameters - self.n_layers * idle * 3 * self.hidden_size * self.expert_size

    @property
    def linear_inputs_and_outputs(self) -> int:
        """Sum of (inputs + outputs) over the linear layers: LoRA parameters per unit of rank."""
        q, kv = self.n_heads * self.head_dim, self.n_kv_heads * self.head_dim
        attention = (self.hidden_size + q) * 2 + (self.hidden_size + kv) * 2
        return self.n_layers * (attention + (self.hidden_size + self.intermediate_size) * 3)


def describe_base(path: Path) -> BaseInfo:
    """What lies in the folder `path`.

    Raises:
        InvalidInput: not a base model we can load; the message lists everything that is missing.
    """
    path = Path(path)
    if not path.is_dir():
        raise InvalidInput(f"{path}: no such folder; give the folder that holds the model's files")
    layout = _layout(path)
    files = weight_files(path, layout)
    config = read_config(path, layout)
    text: Mapping[str, Any] = config.get("text_config") or config
    hidden, heads = _integer(text, path, "hidden_size"), _integer(text, path, "num_attention_heads")
    n_parameters, size = _count(files)
    return BaseInfo(
        n_parameters=n_parameters,
        max_context_length=_integer(text, path, "max_position_embeddings"),
        architecture=str(
            (config.get("architectures") or [f"model type {config['model_type']}"])[0]
        ),
        layout=layout,
        vocab_size=_integer(text, path, "vocab_size"),
        hidden_size=hidden,
        intermediate_size=int(text.get("intermediate_size") or 4 * hidden),
        n_layers=_integer(text, path, "num_hidden_layers"),
        n_heads=heads,
        n_kv_heads=int(text.get("num_key_value_heads") or heads),
        head_dim=int(text.get("head_dim") or hidden // heads),
        weights_bytes=size,
        tied=bool(config.get("tie_word_embeddings", text.get("tie_word_embeddings", False))),
        **_experts(text),
    )


def _experts(text: Mapping[str, Any]) -> dict[str, int]:
    """Under the names that Mixtral, Qwen and others give them; nothing where there are none."""

    def first(*names: str) -> int:
        return next((int(text[name]) for name in names if text.get(name)), 0)

    n = first("num_local_experts", "num_experts", "n_routed_experts")
    if not n:
        return {}
    size = first("moe_intermediate_size", "intermediate_size")
    return {
        "n_experts": n,
        "n_experts_per_token": first("num_experts_per_tok", "moe_topk"),
        "expert_size": size,
    }


def read_config(path: Path, layout: Layout) -> dict[str, Any]:
    """config.json, or params.json said in config.json's words."""
    if layout is Layout.MISTRAL:
        return consolidated.as_config(_json(path / "params.json"), where=path / "params.json")
    config = _json(path / "config.json")
    if "model_type" not in config:
        raise InvalidInput(f"{path / 'config.json'}: model_type is missing")
    return config


def weight_files(path: Path, layout: Layout) -> tuple[Path, ...]:
    """The safetensors files of one complete set of weights, in name order.

    Raises:
        InvalidInput: none there, only pickles there, or shards of the index missing.
    """
    stem = "consolidated" if layout is Layout.MISTRAL else "model"
    index = path / f"{stem}.safetensors.index.json"
    whole = path / f"{stem}.safetensors"
    if index.is_file():
        names = sorted(set(_json(index).get("weight_map", {}).values()))
        missing = [name for name in names if not (path / name).is_file()]
        if missing or not names:
            raise InvalidInput(
                f"{path}: {index.name} lists {len(names)} files and {len(missing)} are missing: "
                f"{', '.join(missing[:5])}; download them next to it"
            )
        return tuple(path / name for name in names)
    if whole.is_file():
        return (whole,)
    shards = tuple(sorted(path.glob(f"{stem}-*-of-*.safetensors")))
    if shards:
        total = int(shards[0].stem.rpartition("-")[2])
        if len(shards) != total:
            raise InvalidInput(f"{path}: {len(shards)} of {total} shards are there; add the others")
        return shards
    pickled = sorted(p.name for pattern in ("*.bin", "*.pth", "*.pt") for p in path.glob(pattern))
    if pickled:
        raise InvalidInput(
            f"{path}: weights are only there as pickles ({', '.join(pickled[:3])}), which can run "
            "code when read; convert them to safetensors or download the safetensors version"
        )
    raise InvalidInput(f"{path}: {whole.name} is missing (nor are there shards of it)")


def _layout(path: Path) -> Layout:
    """Hugging Face where both are complete, as published repositories carry both."""
    has_config, has_params = (path / "config.json").is_file(), (path / "params.json").is_file()
    if has_config and (not has_params or any(path.glob("model*.safetensors*"))):
        return Layout.HUGGING_FACE
    if has_params:
        return Layout.MISTRAL
    raise InvalidInput(
        f"{path}: neither config.json (Hugging Face layout) nor params.json (Mistral layout) is "
        "there; this is not a model folder"
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise InvalidInput(f"{path}: not JSON: {error}") from None
    if not isinstance(value, dict):
        raise InvalidInput(f"{path}: expected a JSON object, got {type(value).__name__}")
    return value


OTHER_NAMES = {
    "hidden_size": ("n_embd", "d_model"),
    "num_hidden_layers": ("n_layer", "n_layers", "num_layers"),
    "num_attention_heads": ("n_head", "n_heads"),
    "max_position_embeddings": ("n_positions", "max_seq_len", "seq_length", "n_ctx"),
}
"""What older architectures call the same sizes in config.json."""


def _integer(config: Mapping[str, Any], path: Path, name: str) -> int:
    for candidate in (name, *OTHER_NAMES.get(name, ())):
        value = config.get(candidate)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    raise InvalidInput(
        f"{path}: {name} is not a number above 0 in the configuration; add it to config.json"
    )


def _count(files: tuple[Path, ...]) -> tuple[int, int]:
    """(values, bytes) of all tensors, from the headers alone; a cut file is refused here."""
    values = size = 0
    for file in files:
        header = safetensors_header(file)
        for name, entry in header.items():
            if name != "__metadata__":
                values += math.prod(entry["shape"])
                size += entry["data_offsets"][1] - entry["data_offsets"][0]
    return values, size


def safetensors_header(file: Path) -> dict[str, Any]:
    """Names, shapes and places of the tensors.

    Raises:
        InvalidInput: unreadable, not safetensors, or shorter than its header says.
    """
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > 100_000_000:
                raise ValueError(f"a header of {length} bytes")
            header: dict[str, Any] = json.loads(stream.read(length))
        data = max(
            (e["data_offsets"][1] for n, e in header.items() if n != "__metadata__"), default=0
        )
        actual = file.stat().st_size - 8 - length
        if actual != data:
            raise ValueError(f"{actual} bytes of tensors where the header says {data}")
    except OSError as error:
        raise InvalidInput(f"{file}: cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise InvalidInput(
            f"{file}: not a complete safetensors file ({error}); download it again"
        ) from None
    return header
