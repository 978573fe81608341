"""How much two texts have in common: chrF, BLEU, GLEU, ROUGE and fuzzy match, from counts.

Legend: D counts describe one sentence. Counts of sentences may be added up, and the same function
makes the figure of one or of all: (…, D) counts give (…) values from 0 to 1. sacrebleu prints the
same figures times 100. Several references: the best one counts (chrF, ROUGE), or every n-gram as
often as it is in any of them (BLEU).
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.float64]

CHARS, BETA = 6, 2
"""chrF: n-grams of up to 6 characters, recall weighs 2² times precision (Popović 2015)."""
ORDER = 4
"""BLEU: n-grams of up to 4 words (Papineni et al. 2002)."""


def ngrams(tokens: Sequence[str], n: int) -> Counter[Hashable]:
    if isinstance(tokens, str):
        return Counter(tokens[at : at + n] for at in range(len(tokens) - n + 1))
    return Counter(tuple(tokens[at : at + n]) for at in range(len(tokens) - n + 1))


# --- chrF ------------------------------------------------------------------------------------


def chrf_counts(said: str, references: Sequence[str], *, words: int = 0) -> Counts:
    """(3 · orders): per order, n-grams said, n-grams of the reference, both.

    Args:
        words: 2 is chrF++ (Popović 2017), which adds n-grams of words.
    """
    found = [_chrf_against(said, reference, words) for reference in references]
    return found[int(np.argmax([chrf(counts) for counts in found]))]


def _chrf_against(said: str, reference: str, words: int) -> Counts:
    parts: list[tuple[Sequence[str], Sequence[str], int]]
    parts = [(_unspaced(said), _unspaced(reference), n) for n in range(1, CHARS + 1)]
    parts += [(_parted(said), _parted(reference), n) for n in range(1, words + 1)]
    counts: list[int] = []
    for ours, theirs, n in parts:
        left, right = ngrams(ours, n), ngrams(theirs, n)
        counts += [left.total() if right else 0, right.total(), (left & right).total()]
    return np.asarray(counts, dtype=np.float64)


def chrf(counts: Counts) -> Counts:
    """F₂ of the precision and the recall that orders have on average, over the orders that occur on
    both sides."""
    cells = counts.reshape(*counts.shape[:-1], -1, 3)
    said, right, both = cells[..., 0], cells[..., 1], cells[..., 2]
    used = (said > 0) & (right > 0)
    orders = np.maximum(used.sum(axis=-1), 1)
    precision = (_over(both, said) * used).sum(axis=-1) / orders
    recall = (_over(both, right) * used).sum(axis=-1) / orders
    return _over((1 + BETA**2) * precision * recall, BETA**2 * precision + recall)


def _unspaced(text: str) -> str:
    return "".join(text.split())


def _parted(text: str) -> list[str]:
    """Words, with one punctuation mark cut off behind them or else before them."""
    tokens: list[str] = []
    for word in text.split():
        if len(word) > 1 and word[-1] in string.punctuation:
            tokens += [word[:-1], word[-1]]
        elif len(word) > 1 and word[0] in string.punctuation:
            tokens += [word[0], word[1:]]
        else:
            tokens.append(word)
    return tokens


# --- BLEU and GLEU ---------------------------------------------------------------------------

_PARTS = (
    (re.compile(r"([{-~\[-` -&(-+:-@/])"), r" \1 "),
    (re.compile(r"([^0-9])([.,])"), r"\1 \2 "),
    (re.compile(r"([.,])([^0-9])"), r" \1 \2"),
    (re.compile(r"([0-9])(-)"), r"\1 \2 "),
)
_ENTITIES = (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"))


def words_13a(text: str) -> list[str]:
    """The tokens of mteval-v13a, WMT's and sacrebleu's standard."""
    line = text.rstrip().replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    for entity, character in _ENTITIES:
        line = line.replace(entity, character)
    line = f" {line} "
    for pattern, parted in _PARTS:
        line = pattern.sub(parted, line)
    return line.split()


def bleu_counts(said: str, references: Sequence[str]) -> Counts:
    """(2 + 2 · ORDER): length said, length of the reference closest in length, right n-grams of
    each order, n-grams said of each order."""
    ours, theirs = words_13a(said), [words_13a(reference) for reference in references]
    closest = min(
        (len(one) for one in theirs), key=lambda length: (abs(length - len(ours)), length)
    )
    right, total = [], []
    for n in range(1, ORDER + 1):
        left = ngrams(ours, n)
        most: Counter[Hashable] = Counter()
        for one in theirs:
            most |= ngrams(one, n)
        right.append((left & most).total())
        total.append(left.total())
    return np.asarray([len(ours), closest, *right, *total], dtype=np.float64)


def bleu(counts: Counts, *, sentence: bool = False) -> Counts:
    """Brevity penalty times the geometric mean of the precisions; an order without a match counts
    half, a quarter, … of one match (NIST's smoothing).

    Args:
        sentence: leave out orders longer than what was said, as one must for single sentences.
    """
    length, wanted = counts[..., 0], counts[..., 1]
    right, total = counts[..., 2 : 2 + ORDER], counts[..., 2 + ORDER :]
    there = total > 0
    halvings = np.cumsum((right == 0) & there, axis=-1)
    smoothed = np.where(right > 0, right, np.exp2(-halvings))
    logs = np.log(_over(smoothed, total), out=np.zeros_like(total), where=there)
    orders = np.maximum(there.sum(axis=-1), 1) if sentence else ORDER
    whole = there.any(axis=-1) if sentence else there.all(axis=-1)
    penalty = np.exp(np.minimum(0.0, 1 - _over(wanted, length)))
    value = penalty * np.exp(logs.sum(axis=-1) / orders)
    return np.where(whole & right.any(axis=-1) & (length > 0), value, 0.0)


def gleu(said: str, references: Sequence[str]) -> float:
    """The smaller of precision and recall of all n-grams of 1 to 4 words (Wu et al. 2016)."""
    ours = _up_to(said.split())
    best = 0.0
    for reference in references:
        theirs = _up_to(reference.split())
        most = max(ours.total(), theirs.total())
        best = max(best, (ours & theirs).total() / most if most else 0.0)
    return best


def _up_to(tokens: list[str]) -> Counter[Hashable]:
    return sum((ngrams(tokens, n) for n in range(1, ORDER + 1)), Counter[Hashable]())


# --- ROUGE and fuzzy match -------------------------------------------------------------------


def rouge_words(text: str, *, every_script: bool = False) -> list[str]:
    """a–z and 0–9 in lower case, as Lin's ROUGE has it; or the word characters of every script."""
    return re.findall(r"\w+" if every_script else r"[a-z0-9]+", text.lower())


def rouge_n(said: Sequence[str], reference: Sequence[str], n: int) -> float:
    """F₁ of n-grams (Lin 2004), without stemming."""
    ours, theirs = ngrams(said, n), ngrams(reference, n)
    return _f1((ours & theirs).total(), ours.total(), theirs.total())


def rouge_l(said: Sequence[str], reference: Sequence[str]) -> float:
    """F₁ of the longest common subsequence of words."""
    return _f1(common(said, reference), len(said), len(reference))


def fuzzy(said: str, reference: str) -> float:
    """2 · common subsequence / both lengths: 1 − the share of insertions and deletions. Two empty
    texts are equal."""
    if not said and not reference:
        return 1.0
    return _f1(common(said, reference), len(said), len(reference))


def common(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the longest common subsequence, a row of the table at a time in one number
    (Hyyrö 2004)."""
    places: dict[str, int] = {}
    for at, token in enumerate(a):
        places[token] = places.get(token, 0) | 1 << at
    full = (1 << len(a)) - 1
    row = full
    for token in b:
        match = row & places.get(token, 0)
        row = ((row + match) | (row - match)) & full
    return len(a) - row.bit_count()


def _f1(both: int, said: int, right: int) -> float:
    return 2 * both / (said + right) if both else 0.0


def _over(above: Counts, below: Counts) -> Counts:
    """0 where there is nothing to divide by."""
    return np.divide(above, below, out=np.zeros_like(below * 1.0), where=below > 0)
