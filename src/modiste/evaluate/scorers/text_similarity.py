"""How close an answer is to a reference text: `text_similarity`.

`chrf`, `chrf++` and `bleu` are sacrebleu's figures divided by 100 (chrF2 with up to 6 characters;
BLEU with 13a tokens and exponential smoothing, effective order for single answers). `rouge_1` to
`rouge_5` and `rouge_l` are rouge-score's F1 without stemming. `fuzzy_match` is rapidfuzz's ratio.
The tests hold them equal to those packages. Of several references the best counts.

The mean over answers comes first. chrF and BLEU also have `corpus`, the figure of all answers
together, which is what papers print, with a bootstrap interval over items. Pass rule: none without
`threshold`; with it, an answer passes from there on, and `passed` is the share that does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from pydantic import Field

from modiste.evaluate.items import Answer, Item, Sample, Score, scored
from modiste.evaluate.metric import Metric, figure, mean_metric, score_of
from modiste.evaluate.scorer import Check
from modiste.evaluate.scorers import overlap
from modiste.evaluate.scorers.references import alternatives, no_reference
from modiste.evaluate.spec import Spec
from modiste.evaluate.stats.bootstrap import interval_of_draws
from modiste.evaluate.stats.sums import drawn_sums

DRAWS = 2_000
SEED = 0

Kind = Literal[
    "chrf", "chrf++", "bleu", "gleu", "fuzzy_match",
    "rouge_1", "rouge_2", "rouge_3", "rouge_4", "rouge_5", "rouge_l",
]  # fmt: skip

COUNTS: dict[str, Callable[[str, Sequence[str]], overlap.Counts]] = {
    "chrf": overlap.chrf_counts,
    "chrf++": lambda said, right: overlap.chrf_counts(said, right, words=2),
    "bleu": overlap.bleu_counts,
}
"""Figures that all answers have together."""


class TextSimilarity(Check):
    takes_long = True

    def __init__(self, spec: TextSimilaritySpec) -> None:
        super().__init__(spec.name, spec.config)
        self._spec = spec

    def look(self, item: Item, answer: Answer) -> Score:
        if not (right := alternatives(item)):
            return no_reference(item)
        if (counted := COUNTS.get(self._spec.metric)) is not None:
            counts = counted(answer.text, right)
            return scored(self._of(counts, sentence=True), counts=counts.astype(int).tolist())
        return scored(max(self._compared(answer.text, one) for one in right))

    def metrics(self, samples: Sequence[Sample]) -> tuple[Metric, ...]:
        found = [mean_metric(self, samples, notes=self._notes(samples))]
        if self._spec.metric in COUNTS:
            found.append(self._corpus(samples))
        if (least := self._spec.threshold) is not None:

            def passes(sample: Sample) -> float | None:
                score = score_of(self.name, sample)
                return None if score is None else float((score.value or 0.0) >= least)

            found.append(figure(self, samples, passes, name="passed"))
        return tuple(found)

    def _compared(self, said: str, right: str) -> float:
        if self._spec.metric == "fuzzy_match":
            return overlap.fuzzy(said, right)
        if self._spec.metric == "gleu":
            return overlap.gleu(said, [right])
        every = self._spec.words == "unicode"
        ours, theirs = (overlap.rouge_words(text, every_script=every) for text in (said, right))
        if self._spec.metric == "rouge_l":
            return overlap.rouge_l(ours, theirs)
        return overlap.rouge_n(ours, theirs, int(self._spec.metric[-1]))

    def _of(self, counts: overlap.Counts, *, sentence: bool = False) -> Any:
        if self._spec.metric == "bleu":
            return overlap.bleu(counts, sentence=sentence)
        return overlap.chrf(counts)

    def _corpus(self, samples: Sequence[Sample]) -> Metric:
        """Answers to one item, and items of one cluster, are drawn together."""
        having = [(sample, score_of(self.name, sample)) for sample in samples]
        rows = np.asarray(
            [score.detail["counts"] for _, score in having if score], dtype=np.float64
        )
        n_unscored = sum(score is None for _, score in having)
        units = [
            ("cluster", sample.item.cluster) if sample.item.cluster else ("item", sample.item.key)
            for sample, score in having
            if score
        ]
        metric = Metric(self.name, "corpus", None, n_unscored)
        if not units:
            return metric
        drawn = self._of(drawn_sums(rows, draws=DRAWS, clusters=units, seed=SEED))
        estimate = interval_of_draws(
            float(self._of(rows.sum(axis=0))),
            drawn,
            items=len({sample.item.key for sample, score in having if score}),
            seed=SEED,
            n_clusters=len(set(units)),
            n_unscored=n_unscored,
        )
        return Metric(self.name, "corpus", estimate, n_unscored)

    def _notes(self, samples: Sequence[Sample]) -> tuple[str, ...]:
        """A reader must know where ROUGE did not see the letters."""
        if not self._spec.metric.startswith("rouge") or self._spec.words == "unicode":
            return ()
        texts = (text for sample in samples for text in alternatives(sample.item))
        foreign = sum(any(c.isalpha() and not c.isascii() for c in text) for text in texts)
        if not foreign:
            return ()
        return (
            f"{foreign} references have letters outside a–z, which part words here as they do in"
            " rouge-score; words: unicode keeps them",
        )


class TextSimilaritySpec(Spec):
    kind: Literal["text_similarity"] = "text_similarity"
    name: str = "text_similarity"
    metric: Kind = "chrf"
    words: Literal["ascii", "unicode"] = "ascii"
    """Of ROUGE: `ascii` as rouge-score has it, `unicode` for texts in other letters."""
    threshold: float | None = Field(default=None, ge=0, le=1)
    """From where on an answer passes."""

    def build(self) -> TextSimilarity:
        return TextSimilarity(self)
