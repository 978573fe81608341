"""Files to a transformers model: the part of loading a base that needs torch.

Weights are read tensor by tensor from safetensors into the asked dtype, frozen, in evaluation mode.
A state dict that does not fill the model exactly is refused: a silently random layer trains and
serves nonsense.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from safetensors import safe_open
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel
from transformers.utils import logging as transformers_logging

from modiste.errors import InvalidInput
from modiste.nn import consolidated
from modiste.nn.base import BaseInfo, Layout, describe_base, read_config, weight_files

AutoModel = cast(Any, AutoModelForCausalLM)
"""transformers annotates these class methods only in part."""


class BaseModel(NamedTuple):
    model: PreTrainedModel
    info: BaseInfo


def load_base(path: Path, *, dtype: torch.dtype) -> BaseModel:
    """The model in evaluation mode, weights frozen, on the CPU, in `dtype`.

    Raises:
        InvalidInput: not loadable; the message names the file and what is wrong with it.
    """
    path, info = Path(path), describe_base(path)
    cast(Any, transformers_logging).disable_progress_bar()
    if info.layout is Layout.HUGGING_FACE:
        model = _from_hugging_face(path, dtype=dtype)
    else:
        model = _from_consolidated(path, dtype=dtype)
    model.requires_grad_(False)
    model.train(False)
    return BaseModel(model, info)


def _from_hugging_face(path: Path, *, dtype: torch.dtype) -> PreTrainedModel:
    try:
        model, report = AutoModel.from_pretrained(
            path,
            dtype=dtype,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise InvalidInput(f"{path}: transformers cannot load this model: {error}") from error
    missing = sorted(report["missing_keys"])
    if missing:
        raise InvalidInput(f"{path}: {len(missing)} tensors are missing: {', '.join(missing[:5])}")
    loaded: PreTrainedModel = model
    return loaded


def _from_consolidated(path: Path, *, dtype: torch.dtype) -> PreTrainedModel:
    values = read_config(path, Layout.MISTRAL)
    config = AutoConfig.for_model(values.pop("model_type"), **values)
    head_dim = values["head_dim"]
    state: dict[str, torch.Tensor] = {}
    for file in weight_files(path, Layout.MISTRAL):
        with safe_open(file, framework="pt") as tensors:
            for stored in tensors.keys():  # noqa: SIM118  # safe_open is not a mapping
                name = consolidated.rename(stored)
                tensor = tensors.get_tensor(stored)
                if name.endswith(("q_proj.weight", "k_proj.weight")):
                    tensor = consolidated.halves_from_pairs(tensor, head_dim=head_dim)
                state[name] = tensor.to(dtype)
    if config.model_type == "mixtral":
        state = _experts_as_one(state)
    if "lm_head.weight" not in state:
        config.tie_word_embeddings = True
    with torch.device("meta"):
        model: PreTrainedModel = AutoModel.from_config(config, dtype=dtype)
    return _fill(model, state, path)


def _experts_as_one(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Mixtral's experts as transformers computes them: w1 over w3, and w2, for all experts in one
    tensor each."""
    joined: dict[str, torch.Tensor] = {}
    parts: dict[tuple[str, str], dict[int, torch.Tensor]] = {}
    for name, tensor in state.items():
        expert = re.fullmatch(r"(.+)\.block_sparse_moe\.experts\.(\d+)\.(w[123])\.weight", name)
        if expert:
            parts.setdefault((expert[1], expert[3]), {})[int(expert[2])] = tensor
        else:
            joined[name.replace(".block_sparse_moe.", ".mlp.")] = tensor
    state.clear()
    for layer, which in [key for key in parts if key[1] != "w3"]:
        mine, other = parts.pop((layer, which)), parts.get((layer, "w3"), {})
        if which == "w1":
            both = [torch.cat([mine[e], other[e]]) for e in sorted(mine) if e in other]
            joined[f"{layer}.mlp.experts.gate_up_proj"] = torch.stack(both)
        else:
            joined[f"{layer}.mlp.experts.down_proj"] = torch.stack([mine[e] for e in sorted(mine)])
    return joined


def _fill(model: PreTrainedModel, state: dict[str, torch.Tensor], path: Path) -> PreTrainedModel:
    wanted = {name: tensor.shape for name, tensor in model.state_dict().items()}
    if model.config.tie_word_embeddings:
        wanted.pop("lm_head.weight", None)
        state.pop("lm_head.weight", None)
    problems = [f"{name} is missing" for name in wanted if name not in state]
    problems += [f"{name} has no place" for name in state if name not in wanted]
    problems += [
        f"{name} is {tuple(state[name].shape)}, expected {tuple(shape)}"
        for name, shape in wanted.items()
        if name in state and state[name].shape != shape
    ]
    if problems:
        raise InvalidInput(f"{path}: weights do not fit params.json: {'; '.join(problems[:5])}")
    model.load_state_dict(state, strict=False, assign=True)
    model.tie_weights()
    _restore_buffers(model)
    return model


def _restore_buffers(model: PreTrainedModel) -> None:
    """Rotary frequencies are no weights, so after building on `meta` they must be computed."""
    for module in list(model.modules()):
        if any(buffer.is_meta for buffer in module.buffers(recurse=False)):
            rebuilt = type(module)(model.config)
            module._buffers.update(rebuilt._buffers)
            for name, value in vars(rebuilt).items():
                if isinstance(value, torch.Tensor):
                    setattr(module, name, value)
