"""What a classifier's trainer leaves: heads beside the adapter, how they do, and rows as proof.

The heads are published as they will be served: set back to how often labels occur, and calibrated
on the validation rows. Figures are of those rows too, to which nothing was fitted but a temperature
and the share of the phrases, one number each for a target. The proof is what training computes for
a few rows; `class_parity` asks the engine for the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import torch

from modiste.nn.class_heads import PublishedHeads, save_heads
from modiste.prepare import classified
from modiste.prepare.render import Renderer
from modiste.tune import phrases
from modiste.tune.class_answers import calibrated, heard, pooled_of, published
from modiste.tune.events import Event
from modiste.tune.gauges import Heartbeat
from modiste.tune.mixture import Samples, Source
from modiste.tune.outset import weights_of
from modiste.tune.sft import Done
from modiste.tune.spec import TuneSpec
from modiste.tune.tuned import Tuned, in_fp32
from modiste.types import Example
from modiste.work import class_figures
from modiste.work.training_rows import DataFile, chat_row, examples

PROOF_ROWS = 16


class Data(NamedTuple):
    sources: list[Source]
    validation: Samples
    files: list[DataFile]
    """Where rows for the proof come from, the first ones first."""
    renderer: Renderer


def leave(
    run_dir: Path,
    ended: Done,
    spec: TuneSpec,
    base_path: Path,
    data: Data,
    on_event: Callable[[Event], None],
) -> None:
    """Write classifier.json, classifier.safetensors and parity.json.

    Raises:
        OSError: the folder cannot be written.
    """
    exact = in_fp32(ended.tuned, spec, base_path)
    weights_L = weights_of(spec, data.sources)
    n, alive = len(data.validation), Heartbeat(on_event)
    learned = None
    if spec.classifier.phrases:
        samples = [source.samples for source in data.sources]
        learned = phrases.learn(
            samples,
            spec.classifier_targets,
            tell=lambda done: alive("phrases", done, 0),
        )
    rows = None
    if n:
        rows = heard(exact, spec, data.validation, tell=lambda done: alive("calibration", done, n))
    heads = calibrated(published(exact, spec, weights_L), learned, rows)
    if rows is not None:
        said_NL = heads.probabilities(rows.pooled_ND, rows.texts).numpy()
        figures = class_figures.figures(heads.about, said_NL, rows.truth_NL)
        heads = replace(heads, about=replace(heads.about, figures=figures))
    save_heads(ended.result_dir, heads)
    chosen = islice(chain.from_iterable(examples(f, labels=True) for f in data.files), PROOF_ROWS)
    proof = [_proof(example, exact, spec, heads, data.renderer) for example in chosen]
    content = json.dumps({"classifier": True, "rows": proof})
    partial = run_dir / "parity.partial"
    partial.write_text(content, encoding="utf-8")
    partial.replace(run_dir / "parity.json")


def _proof(
    example: Example, exact: Tuned, spec: TuneSpec, heads: PublishedHeads, renderer: Renderer
) -> dict[str, Any]:
    ids = list(classified.rendered(example, renderer).ids)

    def said() -> list[float]:
        state = pooled_of(exact, spec, ids)
        found: list[float] = heads.probabilities(state[None], [ids])[0].tolist()
        return found

    with torch.no_grad(), exact.learned.disabled():
        of_base = said()
    row = {"ids": ids, "probabilities": said(), "base_probabilities": of_base}
    return {**chat_row(example), **row}
