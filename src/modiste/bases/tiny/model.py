"""A compact Mistral decoder for pre-training on a CPU, with transformers' parameter names.

Legend: B rows, T tokens in a row, D hidden size, H query heads, K key/value heads, E head size,
V vocabulary. The state dict is MistralForCausalLM's, so what is trained here loads there as it is;
`tests/bases/test_tiny.py` holds the logits of the two equal. It knows no cache and no padding: rows
are padded on the right only, where causal attention never looks.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modiste.bases.tiny.tokenizer import CONTEXT, CONTROL_TOKENS, VOCABULARY

DENSE_LIMIT = 512  # longer rows take the fused attention kernel, whose memory is linear in T


@dataclass(frozen=True)
class Shape:
    """5,902,592 parameters, 11.8 MB in bf16: the limit of what ships is 12,000,000 bytes."""

    vocab_size: int = VOCABULARY
    hidden_size: int = 256
    intermediate_size: int = 576
    num_hidden_layers: int = 8
    num_attention_heads: int = 8
    num_key_value_heads: int = 2
    head_dim: int = 32
    rope_theta: float = 10_000.0
    rms_norm_eps: float = 1e-5


def hf_config(shape: Shape) -> dict[str, object]:
    """config.json as transformers and mistral-family engines read it."""
    return {
        "architectures": ["MistralForCausalLM"],
        "model_type": "mistral",
        "vocab_size": shape.vocab_size,
        "hidden_size": shape.hidden_size,
        "intermediate_size": shape.intermediate_size,
        "num_hidden_layers": shape.num_hidden_layers,
        "num_attention_heads": shape.num_attention_heads,
        "num_key_value_heads": shape.num_key_value_heads,
        "head_dim": shape.head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": CONTEXT,
        "rope_theta": shape.rope_theta,
        "rms_norm_eps": shape.rms_norm_eps,
        "sliding_window": None,
        "attention_dropout": 0.0,
        "initializer_range": 0.02,
        "tie_word_embeddings": True,
        "use_cache": True,
        "bos_token_id": CONTROL_TOKENS.index("<s>"),
        "eos_token_id": CONTROL_TOKENS.index("</s>"),
        "pad_token_id": CONTROL_TOKENS.index("<pad>"),
        "torch_dtype": "bfloat16",
    }


class Norm(nn.Module):
    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x_BTD: Tensor) -> Tensor:
        return F.rms_norm(x_BTD, (x_BTD.shape[-1],), self.weight.to(x_BTD.dtype), self.eps)


class Attention(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        size, head = shape.hidden_size, shape.head_dim
        self.q_proj = nn.Linear(size, shape.num_attention_heads * head, bias=False)
        self.k_proj = nn.Linear(size, shape.num_key_value_heads * head, bias=False)
        self.v_proj = nn.Linear(size, shape.num_key_value_heads * head, bias=False)
        self.o_proj = nn.Linear(shape.num_attention_heads * head, size, bias=False)

    def forward(self, x_BTD: Tensor, cos_TE: Tensor, sin_TE: Tensor) -> Tensor:
        rows, length, _ = x_BTD.shape
        kv_heads, head_dim = self.shape.num_key_value_heads, self.shape.head_dim

        def heads(x: Tensor) -> Tensor:
            return x.view(rows, length, -1, head_dim).transpose(1, 2)

        q_BHTE = rotate(heads(self.q_proj(x_BTD)), cos_TE, sin_TE)
        k_BKTE = rotate(heads(self.k_proj(x_BTD)), cos_TE, sin_TE)
        v_BKTE = heads(self.v_proj(x_BTD))
        if length > DENSE_LIMIT:
            groups = self.shape.num_attention_heads // kv_heads
            y_BHTE = F.scaled_dot_product_attention(
                q_BHTE,
                k_BKTE.repeat_interleave(groups, dim=1),
                v_BKTE.repeat_interleave(groups, dim=1),
                is_causal=True,
            )
        else:
            y_BHTE = dense_attention(q_BHTE, k_BKTE, v_BKTE, head_dim**-0.5)
        out: Tensor = self.o_proj(y_BHTE.transpose(1, 2).reshape(rows, length, -1))
        return out


class FeedForward(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.hidden_size, shape.intermediate_size, bias=False)
        self.up_proj = nn.Linear(shape.hidden_size, shape.intermediate_size, bias=False)
        self.down_proj = nn.Linear(shape.intermediate_size, shape.hidden_size, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        out: Tensor = self.down_proj(F.silu(self.gate_proj(x_BTD)) * self.up_proj(x_BTD))
        return out


class Layer(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.input_layernorm = Norm(shape.hidden_size, shape.rms_norm_eps)
        self.self_attn = Attention(shape)
        self.post_attention_layernorm = Norm(shape.hidden_size, shape.rms_norm_eps)
        self.mlp = FeedForward(shape)

    def forward(self, x_BTD: Tensor, cos_TE: Tensor, sin_TE: Tensor) -> Tensor:
        x_BTD = x_BTD + self.self_attn(self.input_layernorm(x_BTD), cos_TE, sin_TE)
        mlp: Tensor = self.mlp(self.post_attention_layernorm(x_BTD))
        return x_BTD + mlp


class Stack(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocab_size, shape.hidden_size)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.num_hidden_layers))
        self.norm = Norm(shape.hidden_size, shape.rms_norm_eps)


class TinyMistral(nn.Module):
    """Token ids in, hidden states or loss out; the output head is the embedding, transposed."""

    def __init__(self, shape: Shape, *, seed: int) -> None:
        super().__init__()
        self.shape = shape
        self.model = Stack(shape)
        generator = torch.Generator().manual_seed(seed)
        residual = ("o_proj.weight", "down_proj.weight")  # smaller, as two of them add up per layer
        for parameter_name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                shrink = (2 * shape.num_hidden_layers) ** -0.5
                scale = 0.02 * (shrink if parameter_name.endswith(residual) else 1.0)
                nn.init.normal_(parameter, std=scale, generator=generator)

    def hidden(self, ids_BT: Tensor) -> Tensor:
        x_BTD = self.model.embed_tokens(ids_BT)
        if torch.is_autocast_enabled("cpu"):
            x_BTD = x_BTD.to(torch.get_autocast_dtype("cpu"))
        cos_TE, sin_TE = rope_tables(self.shape, ids_BT.shape[1], x_BTD.dtype)
        for layer in self.model.layers:
            x_BTD = layer(x_BTD, cos_TE, sin_TE)
        out: Tensor = self.model.norm(x_BTD)
        return out

    def logits(self, ids_BT: Tensor) -> Tensor:
        return F.linear(self.hidden(ids_BT), self.model.embed_tokens.weight)

    def forward(self, ids_BT: Tensor, targets_BT: Tensor) -> Tensor:
        """Mean loss over the targets that are not -100, the head applied at those places only."""
        x_ND = self.hidden(ids_BT).flatten(0, 1)
        targets_N = targets_BT.flatten()
        if bool((targets_N < 0).any()):
            kept = (targets_N >= 0).nonzero().squeeze(1)
            x_ND, targets_N = x_ND[kept], targets_N[kept]
        head_loss: Callable[..., Tensor] = HeadLoss.apply
        return head_loss(x_ND, self.model.embed_tokens.weight, targets_N)


class HeadLoss(torch.autograd.Function):
    """Head and cross entropy in chunks, gradients made in the same pass: no logits are kept.

    On a CPU the softmax over 4,096 rows by 4,096 words costs as much as four layers when its
    temporaries are large and new; chunks of 512 stay in cache.
    """

    CHUNK = 512

    @staticmethod
    def forward(ctx: Any, x_ND: Tensor, weight_VD: Tensor, targets_N: Tensor) -> Tensor:
        n, head_VD = x_ND.shape[0], weight_VD.to(x_ND.dtype)
        grad_x_ND = torch.empty_like(x_ND)
        grad_VD = torch.zeros(weight_VD.shape, dtype=torch.float32)
        total = torch.zeros(())
        for at in range(0, n, HeadLoss.CHUNK):
            x_CD, targets_C = x_ND[at : at + HeadLoss.CHUNK], targets_N[at : at + HeadLoss.CHUNK]
            p_CV = (x_CD @ head_VD.T).float()
            p_CV.sub_(p_CV.amax(dim=1, keepdim=True))
            chosen_C = p_CV.gather(1, targets_C[:, None]).squeeze(1)
            sums_C1 = p_CV.exp_().sum(dim=1, keepdim=True)
            total += (sums_C1.squeeze(1).log() - chosen_C).sum()
            p_CV.div_(sums_C1 * n)
            p_CV[torch.arange(len(targets_C)), targets_C] -= 1 / n
            grad_CV = p_CV.to(x_ND.dtype)
            grad_x_ND[at : at + HeadLoss.CHUNK] = grad_CV @ head_VD
            grad_VD.add_(grad_CV.T @ x_CD)
        ctx.save_for_backward(grad_x_ND, grad_VD)
        return total / n

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, Tensor, None]:
        grad_x_ND, grad_VD = ctx.saved_tensors
        return grad_x_ND * grads[0], grad_VD * grads[0], None


def dense_attention(q_BHTE: Tensor, k_BKTE: Tensor, v_BKTE: Tensor, scale: float) -> Tensor:
    """Causal attention with the scores written out, query heads folded onto their key head.

    At these lengths two batched products are 2.5 times faster on a CPU, backward included, than the
    fused kernel (256 tokens, one thread, bf16: 20 ms against 55 ms for a layer of 16 rows).
    """
    rows, heads, length, head_dim = q_BHTE.shape
    kv_heads = k_BKTE.shape[1]
    groups = heads // kv_heads
    q = (q_BHTE * scale).reshape(rows * kv_heads, groups * length, head_dim)
    k = k_BKTE.reshape(rows * kv_heads, length, head_dim)
    v = v_BKTE.reshape(rows * kv_heads, length, head_dim)
    future_TT = torch.full((length, length), float("-inf"), dtype=q.dtype).triu_(1)
    scores = torch.baddbmm(future_TT.repeat(groups, 1), q, k.transpose(1, 2))
    return torch.bmm(torch.softmax(scores, dim=-1), v).view(rows, heads, length, head_dim)


def rope_tables(shape: Shape, length: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    half = torch.arange(0, shape.head_dim, 2, dtype=torch.float32) / shape.head_dim
    angles = torch.outer(torch.arange(length).float(), shape.rope_theta**-half)
    angles_TE = torch.cat((angles, angles), dim=-1)
    return angles_TE.cos().to(dtype), angles_TE.sin().to(dtype)


def rotate(x: Tensor, cos_TE: Tensor, sin_TE: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * cos_TE + torch.cat((-second, first), dim=-1) * sin_TE
