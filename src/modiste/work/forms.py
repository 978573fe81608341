"""What the published files of a model compute, form by form: the work of the re-reading child.

`published` reads base and adapter with transformers. `fp32`, `bf16` and `int8` are the serving
decoder in each precision. `merged` is base and adapter as one matrix each, rounded as the base is
stored, which is what a merged export holds. Forms are computed one after the other, so memory holds
one model at a time. Nothing of the trainer's is used.

Legend: N tokens of a row, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from modiste.nn import changes, greedy, native, native_decoder
from modiste.nn.decoder import Decoder, load_decoder
from modiste.nn.deltas import Group, RowDeltas, Stacks
from modiste.nn.linear import Kind
from modiste.nn.merge import MergedWeights
from modiste.nn.parts import Span
from modiste.nn.shape import read_shape
from modiste.nn.tensor_files import TensorFiles
from modiste.serve import adapters
from modiste.serve.precision import Precision
from modiste.work.closeness import Answers

Logits = Callable[[Sequence[int]], Tensor]
"""(N, V) behind each of the ids."""


class Prompt(NamedTuple):
    """Whose greedy answer is wanted, and what training says it is."""

    ids: list[int]
    guess: list[int]


@torch.inference_mode()
def answers(
    form: str,
    base: Path,
    adapter: Path | None,
    rows: Sequence[Sequence[int]],
    prompts: Sequence[Prompt],
) -> Answers:
    """
    Raises:
        InvalidInput: the files cannot be read, or the form does not hold such a model.
    """
    logits = FORMS[form](base, adapter)
    scored = [_logprobs(logits(ids), ids) for ids in rows]

    def look(ids: Sequence[int]) -> greedy.Likeliest:
        return greedy.likeliest(logits(ids))

    told = [
        greedy.continued(look, ids, n_tokens=len(guess), guess=guess).ids for ids, guess in prompts
    ]
    return Answers(scored, told)


def _logprobs(logits_NV: Tensor, ids: Sequence[int]) -> list[float]:
    following = torch.tensor(ids[1:])[:, None]
    chosen = logits_NV[:-1].float().log_softmax(-1).gather(1, following)
    return [float(value) for value in chosen[:, 0]]


def _published(base: Path, adapter: Path | None) -> Logits:
    from modiste.nn import proof  # Transformers takes seconds, which the decoder need not wait for.
    from modiste.nn.loading import load_base

    model = load_base(base, dtype=torch.float32).model
    if adapter is not None:
        proof.apply(model, changes.read_changes(adapter, TensorFiles(base).config))
    return lambda ids: proof.logits_of(model, [ids])[0]


def _published_merged(base: Path, adapter: Path | None) -> Logits:
    from modiste.nn import proof
    from modiste.nn.loading import load_base

    model, files = load_base(base, dtype=torch.float32).model, TensorFiles(base)
    if adapter is not None:
        summed = proof.merge(model, changes.read_changes(adapter, files.config))
        for name, weight in summed.items():
            weight.copy_(weight.to(files.places[f"{name}.weight"].dtype))
    return lambda ids: proof.logits_of(model, [ids])[0]


def _served(kind: Kind) -> Callable[[Path, Path | None], Logits]:
    def load(base: Path, adapter: Path | None) -> Logits:
        decoder, deltas = load_decoder(base, kind=kind), None
        if adapter is not None:
            dtype = Precision(kind, exact=False).of_adapters
            deltas = adapters.from_peft(adapter, decoder.shape, dtype=dtype)

        def logits(ids: Sequence[int]) -> Tensor:
            groups = [] if deltas is None else [Group(deltas, 0, len(ids))]
            return _decoded(decoder, ids, RowDeltas([], groups, Stacks()) if groups else None)

        return logits

    return load


def _merged(base: Path, adapter: Path | None) -> Logits:
    shape = read_shape(base)
    found = {} if adapter is None else changes.read_changes(adapter, TensorFiles(base).config)
    library = native.library() if native_decoder.computes(shape) else None
    with MergedWeights.of(base, shape, found) as weights:
        decoder = Decoder(shape, weights, kind=Kind.FP32, library=library)
    return lambda ids: _decoded(decoder, ids, None)


def _decoded(decoder: Decoder, ids: Sequence[int], deltas: RowDeltas | None) -> Tensor:
    n = len(ids)
    cells = decoder.key_values(n)
    hidden_ND = decoder.hidden(torch.tensor(ids), [Span(0, n, 0, n)], cells, deltas=deltas)
    return decoder.logits(hidden_ND)


FORMS: Mapping[str, Callable[[Path, Path | None], Logits]] = {
    "published": _published,
    "published merged": _published_merged,
    **{kind.value: _served(kind) for kind in Kind},
    "merged": _merged,
}
