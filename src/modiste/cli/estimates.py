"""What a training on these rows would take: steps, memory, minutes and cost for each known base.

Known are the base whose tokens were counted, those installed here, and the vendor's sizes. The
arithmetic is `tune.plan`, the one jobs are planned with. Where a base reads another tokenizer, its
tokens are estimated from a sample of the texts, and marked so.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from modiste.cli import known_bases, tokenizers
from modiste.cli.data_options import Named
from modiste.cli.output import duration, size
from modiste.cli.tokenizers import Tokens
from modiste.errors import ModisteError
from modiste.prepare.checks.findings import Input
from modiste.prepare.formats.read import read
from modiste.prepare.records import answer_text, prompt_text
from modiste.prepare.render import Renderer
from modiste.prepare.statistics import Statistics
from modiste.settings import Settings
from modiste.tune.plan import plan
from modiste.tune.spec import TuneSpec

TEXTS = 200
"""Rows of each file that are read with two tokenizers to compare them."""


class Wish(NamedTuple):
    epochs: float | None = None
    max_steps: int | None = None
    seq_len: int | None = None


def estimates(
    counted: Statistics,
    mine: Tokens,
    *,
    texts: Sequence[str],
    wanted: Settings,
    wish: Wish,
) -> list[dict[str, Any]]:
    """One entry for each base, the asked one first; none where nothing would be trained.

    Args:
        counted: the training rows, in `mine`'s tokens.
        texts: a sample of them.
    """
    if not counted.n_tokens:
        return []
    found = []
    n_mine = sum(len(mine.renderer.encode(text)) for text in texts)
    for base in _bases(mine, wanted):
        ratio, same = 1.0, base.renderer.fingerprint == mine.renderer.fingerprint
        if not same:
            n_theirs = sum(len(base.renderer.encode(text)) for text in texts)
            ratio = n_theirs / n_mine if n_mine else 1.0
        if base.base is not None:
            made = _estimate(base, counted, ratio, wanted, wish)
            found.append(made | {"tokens_estimated": not same})
    return found


def sample_of(asked: Named) -> list[str]:
    """The texts of the first rows of each file that can be read."""
    return [text for file in asked.files for text in islice(_texts(file, asked), TEXTS)]


def shown(estimate: dict[str, Any]) -> dict[str, str]:
    """For people, by the names of the columns."""
    about = "≈" if estimate["tokens_estimated"] else ""
    cost = estimate["cost_micro"] / 1e6
    return {
        "base": estimate["base"],
        "tokens": f"{about}{estimate['tokens']:,}",
        "steps": f"{estimate['steps']:,}",
        "epochs": f"{estimate['epochs']:.3g}",
        "an epoch": f"{estimate['steps_per_epoch']:,} steps",
        "memory": size(estimate["memory_bytes"]),
        "duration": duration(estimate["duration_s"]),
        "cost": f"{cost:.2f} {estimate['currency']}" if cost else "",
        "rests on": estimate["rests_on"],
    }


def _estimate(
    base: Tokens, counted: Statistics, ratio: float, wanted: Settings, wish: Wish
) -> dict[str, Any]:
    assert base.base is not None  # noqa: S101 - the caller leaves others out
    n_tokens = round(counted.n_tokens * ratio)
    spec = TuneSpec.model_validate(
        {
            "model": base.name,
            "data": {"train": [{"path": "train.jsonl"}]},
            "epochs": wish.epochs,
            "max_steps": wish.max_steps,
            "max_length": wish.seq_len,
        }
    )
    made = plan(
        spec,
        n_tokens=n_tokens,
        n_examples=counted.tokens.n,
        base=base.base,
        longest=math.ceil(counted.tokens.most * ratio),
        n_trained_tokens=round(counted.n_trained_tokens * ratio),
        tokens_per_s=base.tokens_per_s,
        price_micro_per_million_tokens=wanted.price_micro_per_million_tokens,
    )
    rests_on = "measured here" if base.tokens_per_s else "assumed, two processor cores"
    return {
        "base": base.name,
        "tokens": n_tokens,
        "steps": made.training_steps,
        "epochs": made.epochs,
        "steps_per_epoch": math.ceil(n_tokens / made.train_tokens_per_step),
        "tokens_per_step": made.train_tokens_per_step,
        "batch_size": made.spec.batch_size,
        "seq_len": made.spec.max_length,
        "memory_bytes": made.peak_memory_bytes,
        "duration_s": made.expected_duration_s,
        "cost_micro": made.cost_micro,
        "currency": wanted.currency,
        "rests_on": rests_on,
    }


def _bases(mine: Tokens, wanted: Settings) -> Iterator[Tokens]:
    """Each once: what is installed under a vendor's name stands for it."""
    yield mine
    taken = {mine.name}
    for base in _installed(wanted):
        if base.name not in taken:
            taken.add(base.name)
            yield base
    yield from _vendors(taken)


def _installed(wanted: Settings) -> Iterator[Tokens]:
    for base in tokenizers.installed(wanted):
        try:
            found = tokenizers.resolve(str(base.path))
        except ModisteError:
            continue  # it lies on the server, or is half removed; `models list` is the place to see
        yield found._replace(name=base.id, tokens_per_s=base.tokens_per_s)


def _vendors(taken: set[str]) -> Iterator[Tokens]:
    """One of each size."""
    loaded: dict[str, Renderer] = {}
    shapes = [k.shape for k in known_bases.KNOWN if taken.intersection(k.names)]
    for known in known_bases.KNOWN:
        file, shape = known.tokenizer, known.shape
        if shape is None or shape in shapes:
            continue
        shapes.append(shape)
        if file not in loaded:
            loaded[file] = tokenizers.mistral(known_bases.tokenizer_path(file))
        yield Tokens(known.names[0], file, loaded[file], shape.info())


def _texts(file: Input, asked: Named) -> Iterator[str]:
    reading = read(file.path, filename=file.filename, format=asked.format, columns=asked.columns)
    for found in reading.rows:
        if found.row.example is not None:
            example = found.row.example
            yield f"{prompt_text(example)}\n{answer_text(example)}"
