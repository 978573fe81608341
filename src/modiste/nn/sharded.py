"""A frozen base spread over several processes with FSDP2: each GPU holds a part of every block.

`spread` shards the blocks of the decoder before adapters are attached; embeddings, last norm and
head stay whole everywhere, and so do the adapters, whose gradients the recipe adds up once a step.
A block's weights are whole only while it runs, forwards and backwards, so whoever multiplies with
them must look them up at that moment: `SpreadMatrix`. Every forward and backward is an exchange:
all processes must run the model equally often (`Group.lockstep`).

Legend: N rows (tokens), I inputs, O outputs.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel

from modiste.errors import InvalidInput
from modiste.nn.frozen import FrozenMatrix
from modiste.nn.lora_linear import Matrix
from modiste.nn.recompute import blocks_of


def spread(model: PreTrainedModel, *, device: str) -> None:
    """Shard a frozen model that lies on the CPU over the processes of the default group, in place,
    block after block: no GPU ever holds more than its part and one block.

    Raises:
        InvalidInput: the model has no list of blocks of the usual form.
    """
    blocks = blocks_of(model)
    if not blocks:
        raise InvalidInput(
            f"shard_base: {type(model).__name__} has no list of blocks to spread over the "
            "processes; set MODISTE_SHARD_BASE=never and use a GPU that holds the whole base"
        )
    mesh = init_device_mesh(device, (dist.get_world_size(),))
    for block in blocks:
        fully_shard(block.to(device), mesh=mesh)
    cast(nn.Module, model).to(device)
    trunk: nn.Module = cast(Any, model).get_decoder()
    whole = {p for p in model.parameters() if not isinstance(p, DTensor)}
    # The root fetches the next block's weights while one runs.
    fully_shard(trunk, mesh=mesh, ignored_params=whole)


class SpreadMatrix:
    """The weight of a linear layer of a spread block, looked up when it is used."""

    def __init__(self, layer: nn.Linear) -> None:
        self._layer = layer

    def up(self, x_NI: Tensor) -> Tensor:
        return F.linear(x_NI, self._layer.weight, self._layer.bias)

    def down(self, dy_NO: Tensor) -> Tensor:
        return dy_NO @ self._layer.weight


def matrix_of(layer: nn.Linear, *, pack: bool) -> Matrix:
    """A linear layer's frozen weight, wherever it lies."""
    if isinstance(layer.weight, DTensor):
        return SpreadMatrix(layer)
    return FrozenMatrix(layer.weight, layer.bias, pack=pack)


def whole(weight: Tensor) -> Tensor:
    """All of a weight, in every process."""
    return weight.full_tensor().detach() if isinstance(weight, DTensor) else weight.detach()


def refuse_spread(weight: Tensor, what: str) -> None:
    """Raises InvalidInput where something that holds on to its weights is spread."""
    if isinstance(weight, DTensor):
        raise InvalidInput(
            f"shard_base: {what} cannot learn where the base is spread over GPUs; name other "
            "layers in lora.targets, or set MODISTE_SHARD_BASE=never"
        )


def fits_beside(n_parameters: int, *, share: float) -> bool:
    """Whether this GPU holds the base in 16 bits within that share of its memory."""
    memory = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
    return n_parameters * 2 <= share * memory
