"""The decoder that serving runs: Mistral, Llama and Qwen families and their mixtures of experts.

One step computes any mix of rows, flat and in float32: the next token of some sequences and pieces
of the prompts of others, laid behind each other. It knows no requests, no padding and no batch
dimension: a `Span` says which rows are whose and where their keys and values lie. It refuses
weights that do not fill it exactly, and keeps one promise: the bits of a row depend on its own
sequence only, never on which rows share the step (`nn.linear`, `nn.deltas`; attention runs span by
span).

Legend: N rows of a step, D hidden size, H query heads, K key/value heads, G = H / K, E head size,
I intermediate size, V vocabulary, L layers, C cells (one token's keys and values), T cells seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from modiste.nn import linear as linear_
from modiste.nn import native, native_decoder
from modiste.nn.adapter_table import Site
from modiste.nn.deltas import RowDeltas
from modiste.nn.feed_forward import feed_forward
from modiste.nn.linear import Kind
from modiste.nn.native import Library
from modiste.nn.native_decoder import NativeDecoder
from modiste.nn.panels import PanelLinear
from modiste.nn.parts import Experts, FeedForward, KeyValues, Layer, Span
from modiste.nn.rotary import Rotary, rotate
from modiste.nn.shape import DecoderShape, Mixture, read_shape
from modiste.nn.weights import DENSE, Names, Weights, expert, router

Make = Callable[[Tensor, Tensor | None], linear_.Product]


class Decoder:
    def __init__(
        self, shape: DecoderShape, weights: Weights, *, kind: Kind, library: Library | None
    ) -> None:
        """
        Raises:
            InvalidInput: tensors are missing, unknown or of another size than `shape` says.
        """
        self.shape, self.kind = shape, kind
        weights.check(shape)
        make, make_exact = _maker(kind, library), _maker(Kind.FP32, library)
        self._embed_VD = weights.get("model.embed_tokens.weight")
        self._layers = [_layer(shape, weights, i, make, make_exact) for i in range(shape.n_layers)]
        self._norm = weights.get("model.norm.weight").float()
        self._head = make(weights.get(weights.head(shape)), None)
        self._rotary = Rotary(shape)
        self.kernels = "torch" if library is None else library.variant
        self._native = (
            None
            if library is None
            else NativeDecoder(library, shape, self._layers, self._norm, self._rotary)
        )

    def key_values(self, n_cells: int) -> KeyValues:
        """Room for `n_cells` tokens. Memory is taken by the system only as cells are written."""
        size = (self.shape.n_layers, n_cells, self.shape.n_kv_heads, self.shape.head_size)
        return KeyValues(torch.empty(size), torch.empty(size))

    def hidden(
        self,
        ids_N: Tensor,
        spans: Sequence[Span],
        cells: KeyValues,
        *,
        deltas: RowDeltas | None = None,
    ) -> Tensor:
        """Last hidden states (N, D) of the rows; their keys and values are written to `cells`."""
        if self._native is not None:
            embedded_ND = self._embed_VD[ids_N].float()
            return self._native.hidden(embedded_ND, spans, cells, deltas.groups if deltas else ())
        shape, step = self.shape, _Step(self.shape, spans)
        cos, sin = self._rotary.at(step.positions_N, last=step.last_position)
        x_ND = self._embed_VD[ids_N].float()
        for index, layer in enumerate(self._layers):
            h_ND = _norm(x_ND, layer.input_norm, shape.norm_eps)
            qkv_NO = layer.qkv(h_ND)
            if deltas:
                deltas.add(index, Site.QKV, h_ND, qkv_NO)
            q_NHE = self._write(index, layer, qkv_NO, cos, sin, step, cells)
            a_ND = step.attend(q_NHE, index, cells)
            o_ND = layer.o(a_ND)
            if deltas:
                deltas.add(index, Site.O, a_ND, o_ND)
            x_ND = x_ND + o_ND

            h_ND = _norm(x_ND, layer.mlp_norm, shape.norm_eps)
            x_ND = x_ND + feed_forward(index, layer.mlp, h_ND, deltas, mixture=shape.mixture)
        return _norm(x_ND, self._norm, shape.norm_eps)

    def logits(self, hidden_ND: Tensor) -> Tensor:
        """(N, V) of the hidden states given; take only the rows that are needed."""
        return self._head(hidden_ND)

    def linears(self) -> list[linear_.Product]:
        """The distinct kinds of linear layers, for a check of the machine."""
        found = [self._layers[0].qkv, self._layers[0].o, self._head]
        for kind in (FeedForward, Experts):
            mlp = next((layer.mlp for layer in self._layers if isinstance(layer.mlp, kind)), None)
            if isinstance(mlp, Experts):
                found += [mlp.router, *mlp.each[0]]
            elif mlp is not None:
                found += [*mlp]
        return found

    def _write(
        self,
        index: int,
        layer: Layer,
        qkv_NO: Tensor,
        cos: Tensor,
        sin: Tensor,
        step: _Step,
        cells: KeyValues,
    ) -> Tensor:
        """Rotate, store keys and values in their cells, return the queries (N, H, E)."""
        heads, size = self.shape.n_heads, self.shape.head_size
        qkv_NHE = qkv_NO.view(len(qkv_NO), -1, size)
        turned_heads = heads + self.shape.n_kv_heads
        turning, v_NKE = qkv_NHE[:, :turned_heads], qkv_NHE[:, turned_heads:]
        if layer.q_norm is not None and layer.k_norm is not None:
            q_NHE = _norm(turning[:, :heads], layer.q_norm, self.shape.norm_eps)
            k_NKE = _norm(turning[:, heads:], layer.k_norm, self.shape.norm_eps)
            turning = torch.cat((q_NHE, k_NKE), 1)
        turned = rotate(turning, cos, sin)
        cells.keys_LCKE[index].index_copy_(0, step.cells_N, turned[:, heads:])
        cells.values_LCKE[index].index_copy_(0, step.cells_N, v_NKE)
        return turned[:, :heads]


def load_decoder(
    path: Path, *, kind: Kind = Kind.FP32, kernels: Callable[[], Library | None] = native.library
) -> Decoder:
    """The decoder in the folder `path`, Hugging Face or Mistral layout.

    `kernels` gives the compiled kernels, or None: then torch computes everything.

    Raises:
        InvalidInput: naming what is missing, unknown or not computed here.
    """
    shape = read_shape(path)
    with Weights.open(path, shape) as weights:
        library = kernels() if native_decoder.computes(shape) else None
        return Decoder(shape, weights, kind=kind, library=library)


class _Step:
    """What attention needs to know about a step, worked out once for all layers."""

    def __init__(self, shape: DecoderShape, spans: Sequence[Span]) -> None:
        self._shape, self._spans = shape, spans
        positions: list[int] = []
        cells: list[int] = []
        for span in spans:
            positions += range(span.length - span.n_rows, span.length)
            end = span.first_cell + span.length
            cells += range(end - span.n_rows, end)
        self.positions_N = torch.tensor(positions)
        self.cells_N = torch.tensor(cells)
        self.last_position = max(positions)
        self._masks: dict[tuple[int, int | None], Tensor] = {}

    def attend(self, q_NHE: Tensor, layer: int, cells: KeyValues) -> Tensor:
        """(N, H * E): each row over the cells of its own sequence up to itself."""
        shape = self._shape
        window = shape.windows[layer]
        n_cells = cells.keys_LCKE.shape[1]
        kv, size = shape.n_kv_heads, shape.head_size
        q_NKGE = q_NHE.reshape(len(q_NHE), kv, -1, size)
        answers = []
        for number, span in enumerate(self._spans):
            seen = span.length
            if window is not None:
                seen = min(seen, window + span.n_rows - 1)
            offset = (layer * n_cells + span.first_cell + span.length - seen) * kv * size
            form, stride = (1, kv, seen, size), (0, size, kv * size, 1)
            k_1KTE = cells.keys_LCKE.as_strided(form, stride, offset)
            v_1KTE = cells.values_LCKE.as_strided(form, stride, offset)
            q_nKGE = q_NKGE[span.first_row : span.first_row + span.n_rows]
            if span.n_rows == 1:
                answers.append(_attention(q_nKGE, k_1KTE, v_1KTE, None).view(1, -1))
                continue
            q_1KgE = q_nKGE.permute(1, 2, 0, 3).reshape(1, kv, -1, size)
            mask = self._mask(number, seen, window)
            out = _attention(q_1KgE, k_1KTE, v_1KTE, mask).view(kv, -1, span.n_rows, size)
            answers.append(out.permute(2, 0, 1, 3).reshape(span.n_rows, -1))
        return torch.cat(answers)

    def _mask(self, number: int, seen: int, window: int | None) -> Tensor:
        """(G * rows, T): 0 where a row may look, -inf behind its window and ahead of it."""
        if (number, window) not in self._masks:
            rows = self._spans[number].n_rows
            behind_nT = torch.arange(seen - rows, seen)[:, None] - torch.arange(seen)[None, :]
            may_look = behind_nT >= 0
            if window is not None:
                may_look &= behind_nT < window
            mask_nT = torch.zeros(rows, seen).masked_fill_(~may_look, -torch.inf)
            groups = self._shape.n_heads // self._shape.n_kv_heads
            self._masks[number, window] = mask_nT.repeat(groups, 1)
        return self._masks[number, window]


def _attention(q_1KgE: Tensor, k_1KTE: Tensor, v_1KTE: Tensor, mask: Tensor | None) -> Tensor:
    return F.scaled_dot_product_attention(q_1KgE, k_1KTE, v_1KTE, attn_mask=mask)


def _norm(x_ND: Tensor, weight_D: Tensor, eps: float) -> Tensor:
    return F.rms_norm(x_ND, weight_D.shape, weight_D, eps)


def _maker(kind: Kind, library: Library | None) -> Make:
    if library is None:
        return lambda weight_OD, bias_O: linear_.in_torch(weight_OD, bias_O, kind)
    return lambda weight_OD, bias_O: PanelLinear(library, weight_OD, bias_O, kind)


def _layer(
    shape: DecoderShape, weights: Weights, index: int, make: Make, make_exact: Make
) -> Layer:
    """`make_exact` is for routers: another expert is no rounding error, and they are small."""
    stem = f"model.layers.{index}"

    def linear(*names: str, bias: bool) -> linear_.Product:
        parts = [weights.get(f"{stem}.{name}.weight") for name in names]
        biases = [weights.get(f"{stem}.{name}.bias") for name in names] if bias else None
        return make(torch.cat(parts), None if biases is None else torch.cat(biases))

    def gated(names: Names, *, bias: bool) -> FeedForward:
        gate_up = linear(names.gate, names.up, bias=bias)
        return FeedForward(gate_up, linear(names.down, bias=bias))

    def experts(mixture: Mixture) -> Experts:
        every = (expert(shape, number) for number in range(mixture.n_experts))
        each = tuple(gated(names, bias=False) for names in every)
        return Experts(make_exact(weights.get(f"{stem}.{router(shape)}.weight"), None), each)

    def norm(name: str) -> Tensor:
        return weights.get(f"{stem}.{name}.weight").float()

    attention = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
    return Layer(
        input_norm=norm("input_layernorm"),
        qkv=linear(*attention, bias=shape.qkv_bias),
        q_norm=norm("self_attn.q_norm") if shape.qk_norm else None,
        k_norm=norm("self_attn.k_norm") if shape.qk_norm else None,
        o=linear("self_attn.o_proj", bias=shape.o_bias),
        mlp_norm=norm("post_attention_layernorm"),
        mlp=(
            experts(shape.mixture)
            if shape.mixture is not None and shape.is_mixture(index)
            else gated(DENSE, bias=shape.mlp_bias)
        ),
    )
