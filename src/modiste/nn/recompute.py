"""Gradient checkpointing: a block keeps its input alone and is computed again on the way back.

The second computation is that of the first, operation by operation, so losses and gradients are
bit-equal to those without it; randomness (dropout.py) is a function of its place and repeats too.
Unlike transformers' own, it does not ask for training mode and does not need inputs that carry a
gradient, which the first block of a frozen base has not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from modiste.errors import InvalidInput


def recompute_blocks(model: PreTrainedModel, *, learned: Tensor) -> int:
    """Wrap every block of the decoder; how many there are. `learned` is what learns in them.

    Raises:
        InvalidInput: the model has no list of blocks of the usual form.
    """
    blocks = blocks_of(model)
    if not blocks:
        raise InvalidInput(
            f"gradient_checkpointing: {type(model).__name__} has no list of blocks to compute "
            "twice; switch it off and lower max_length instead"
        )
    for block in blocks:
        cast(Any, block).forward = _twice(block.forward, learned)
    return len(blocks)


def _twice(forward: Callable[..., Any], learned: Tensor) -> Callable[..., Any]:
    def run(hidden: Tensor, *args: Any, **kwargs: Any) -> Any:
        carries = any(
            isinstance(value, Tensor) and value.requires_grad for value in (*args, *kwargs.values())
        )
        if not torch.is_grad_enabled() or carries:  # a gradient past the input would be lost
            return forward(hidden, *args, **kwargs)
        return cast(Any, _Twice).apply(hidden, learned, lambda h: forward(h, *args, **kwargs))

    return run


class _Twice(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, learned: Tensor, run: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """`learned` makes the result carry a gradient where the input does not."""
        ctx.save_for_backward(hidden)
        ctx.run = run
        return run(hidden)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (hidden,) = ctx.saved_tensors
        with torch.enable_grad():
            again = hidden.detach().requires_grad_(ctx.needs_input_grad[0])
            out = ctx.run(again)
        torch.autograd.backward(out, grads[0])  # what learns adds up its gradients by itself
        return again.grad, None, None


def blocks_of(model: PreTrainedModel) -> list[nn.Module]:
    """Of the decoder; none where they are not in a list of the usual form."""
    n_blocks = model.config.get_text_config().num_hidden_layers
    trunk = cast(Any, model).get_decoder() if hasattr(model, "get_decoder") else model
    for module in trunk.modules():
        if isinstance(module, nn.ModuleList) and len(module) == n_blocks:
            return list(module)
    return []
