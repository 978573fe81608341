"""chrF, BLEU, ROUGE and fuzzy match equal to sacrebleu 2.6.0, rouge-score 0.1.2 and rapidfuzz."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from modiste.evaluate.scorers.overlap import (
    bleu,
    bleu_counts,
    chrf,
    chrf_counts,
    common,
    fuzzy,
    gleu,
    rouge_l,
    rouge_n,
    rouge_words,
)

KNOWN = json.loads((Path(__file__).parents[2] / "parity" / "overlap.json").read_text())
"""Made by `tests/parity/make_overlap.py`."""
ROWS = KNOWN["rows"]

OURS: dict[str, Callable[[str, list[str]], float]] = {
    "chrf": lambda said, refs: float(chrf(chrf_counts(said, refs))),
    "chrf++": lambda said, refs: float(chrf(chrf_counts(said, refs, words=2))),
    "bleu": lambda said, refs: float(bleu(bleu_counts(said, refs), sentence=True)),
    "fuzzy_match": lambda said, refs: max(fuzzy(said, one) for one in refs),
    "rouge_1": lambda said, refs: max(rouge_n(*map(rouge_words, (said, r)), 1) for r in refs),
    "rouge_2": lambda said, refs: max(rouge_n(*map(rouge_words, (said, r)), 2) for r in refs),
    "rouge_3": lambda said, refs: max(rouge_n(*map(rouge_words, (said, r)), 3) for r in refs),
    "rouge_l": lambda said, refs: max(rouge_l(*map(rouge_words, (said, r))) for r in refs),
}


@pytest.mark.parametrize("name", OURS)
def test_every_sentence_has_the_reference_implementations_figure(name: str) -> None:
    """To rounding: both sides compute in float64, in another order."""
    ours = [OURS[name](row["said"], row["references"]) for row in ROWS]
    assert ours == pytest.approx([row[name] for row in ROWS], abs=1e-12)
    assert len(ROWS) > 200


def test_a_corpus_is_the_figure_of_added_counts() -> None:
    def added(counts: Callable[..., np.ndarray], **how: int) -> np.ndarray:
        return np.sum([counts(row["said"], row["references"], **how) for row in ROWS], axis=0)

    ours = {
        "chrf": float(chrf(added(chrf_counts))),
        "chrf++": float(chrf(added(chrf_counts, words=2))),
        "bleu": float(bleu(added(bleu_counts))),
    }
    assert ours == pytest.approx(KNOWN["corpus"], abs=1e-12)


def test_gleu_is_the_smaller_of_precision_and_recall() -> None:
    """Said: 3 words, 6 n-grams; reference: 4 words, 10; in common: 2 words and 1 pair."""
    assert gleu("the cat slept", ["the cat sat down"]) == pytest.approx(3 / 10)
    assert gleu("", ["x"]) == 0


def test_the_longest_common_subsequence_is_that_of_the_table() -> None:
    assert common("ABCBDAB", "BDCABA") == 4  # Cormen et al., the textbook's example
    assert common("", "abc") == common("abc", "") == 0


def test_words_of_other_scripts_are_kept_on_request() -> None:
    assert rouge_words("Für 北京!") == ["f", "r"]
    assert rouge_words("Für 北京!", every_script=True) == ["für", "北京"]
