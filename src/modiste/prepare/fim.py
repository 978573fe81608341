"""Fill-in-the-middle: a text with its middle moved to the end, so that a model learns to write
between what stands before and what stands behind.

A share of the texts is written the way the base is asked for a middle (Mistral: suffix, prefix,
middle; Qwen, StarCoder, DeepSeek: prefix, suffix, middle), cut at two places that depend on the
seed and the text alone. Everything but the first token and the marks is trained, the end token
behind the middle too. Texts longer than a sequence are cut into pieces first, and each piece has
its own chance. A piece stays as it is where it has fewer than three letters, was cut inside a
letter, or would not fit the sequence any more.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from modiste.errors import InvalidInput
from modiste.prepare.infill import Infill
from modiste.prepare.render import Renderer
from modiste.prepare.rendered import Rendered
from modiste.types import Example

ROOM = 16
"""Tokens left free in a piece: for the marks, and for words that are cut in two."""
NOT_A_LETTER = "\ufffd"


class Fim(NamedTuple):
    ratio: float
    seed: int


def text_samples(
    example: Example, renderer: Renderer, fim: Fim, *, max_length: int | None
) -> list[Rendered]:
    """The sequences of a text row.

    Raises:
        InvalidInput: the base knows no fill-in-the-middle.
    """
    infill = renderer.fim
    if infill is None:
        raise InvalidInput(unknown(fim.ratio), code="fim_unknown")
    length = None if max_length is None else max(2, max_length - ROOM)
    pieces = renderer.training_samples(example, max_length=length)
    texts = [example.text or ""]
    if len(pieces) != 1:
        texts = [_text_of(piece, renderer, first=not at) for at, piece in enumerate(pieces)]
    found = []
    for piece, text in zip(pieces, texts, strict=True):
        turned = _turned(text, renderer, infill, fim) if _drawn(text, fim) else None
        fits = turned is not None and (max_length is None or turned.n_tokens <= max_length)
        found.append(turned if turned is not None and fits else piece)
    return found


def unknown(ratio: float) -> str:
    return (
        f"fim_ratio is {ratio:g}, but the base's tokenizer has no tokens for fill-in-the-middle; "
        "set it to 0, or use a base that has them, such as Codestral, Qwen-Coder or StarCoder"
    )


def _turned(text: str, renderer: Renderer, infill: Infill, fim: Fim) -> Rendered | None:
    if len(text) < 3 or NOT_A_LETTER in text:
        return None
    first, second = sorted(_number(fim.seed, text, mark) % (len(text) + 1) for mark in "ab")
    ids = [*infill.prompt(text[:first], text[second:]), *infill.middle(text[first:second])]
    ids.append(renderer.eos_id)
    return Rendered(ids, [at > 0 and token not in infill.marks for at, token in enumerate(ids)])


def _drawn(text: str, fim: Fim) -> bool:
    return _number(fim.seed, text, "?") < fim.ratio * 2**64


def _number(seed: int, text: str, what: str) -> int:
    """64 bits that depend on these three alone."""
    digest = hashlib.blake2b(f"{seed}:{what}:{text}".encode(errors="surrogatepass"), digest_size=8)
    return int.from_bytes(digest.digest(), "big")


def _text_of(piece: Rendered, renderer: Renderer, *, first: bool) -> str:
    ids = [token for token in piece.ids if token not in (renderer.bos_id, renderer.eos_id)]
    decoder = renderer.stream_decoder(continuing=not first)
    return decoder.push(ids) + decoder.flush()
