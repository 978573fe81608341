"""Writes `overlap.json`: what sacrebleu, rouge-score and rapidfuzz say of a few hundred texts.

    python -m venv oracle && oracle/bin/pip install sacrebleu==2.6.0 rouge_score==0.1.2 rapidfuzz
    oracle/bin/python tests/parity/make_overlap.py

None of them is imported by the package or its tests.
"""

import json
import random
from pathlib import Path

import sacrebleu
from rapidfuzz import fuzz
from rouge_score.rouge_scorer import RougeScorer

SEED = 7
WORDS = (  # noqa: SIM905 - reads as text
    "the cat sat on a mat (today), 3.5 -- don't U.S. &quot;über&quot; naïve 1,000 end-of-line x "
    'école! ? … 北京 e-mail 12-3 A/B {z} it\'s THE Cat <tag> "quoted" . , semi; colon: é'
).split(" ")
FIXED = [
    ("", ["a reference"]),
    ("said", [""]),
    ("", [""]),
    ("one", ["one"]),
    ("one two three four five", ["one two three four five"]),
    ("nothing alike", ["qqq zzz"]),
    ("a\nb - c\n", ["a b-\nc"]),
]


def cases() -> list[tuple[str, list[str]]]:
    rng = random.Random(SEED)

    def text(most: int) -> str:
        return " ".join(rng.choices(WORDS, k=rng.randint(1, most)))

    found = list(FIXED)
    for at in range(200):
        reference = text(14)
        tokens = reference.split(" ")
        for _ in range(rng.randint(0, 4)):
            tokens[rng.randrange(len(tokens))] = rng.choice(WORDS)
        found.append((" ".join(tokens), [reference] if at % 3 else [reference, text(14)]))
    return found


def main() -> None:
    chrf, chrf2 = sacrebleu.CHRF(), sacrebleu.CHRF(word_order=2)
    bleu, corpus_bleu = sacrebleu.BLEU(effective_order=True), sacrebleu.BLEU()
    names = {"rouge_1": "rouge1", "rouge_2": "rouge2", "rouge_3": "rouge3", "rouge_l": "rougeL"}
    rouge = RougeScorer(list(names.values()), use_stemmer=False)
    rows = []
    for said, references in cases():
        scores = rouge.score_multi(references, said)
        rows.append(
            {
                "said": said,
                "references": references,
                "chrf": chrf.sentence_score(said, references).score / 100,
                "chrf++": chrf2.sentence_score(said, references).score / 100,
                "bleu": bleu.sentence_score(said, references).score / 100,
                "fuzzy_match": max(fuzz.ratio(said, one) for one in references) / 100,
                **{ours: scores[theirs].fmeasure for ours, theirs in names.items()},
            }
        )
    said = [row["said"] for row in rows]
    width = max(len(row["references"]) for row in rows)
    streams = [
        [row["references"][at] if at < len(row["references"]) else None for row in rows]
        for at in range(width)
    ]
    corpus = {
        "chrf": chrf.corpus_score(said, streams).score / 100,
        "chrf++": chrf2.corpus_score(said, streams).score / 100,
        "bleu": corpus_bleu.corpus_score(said, streams).score / 100,
    }
    out = Path(__file__).with_name("overlap.json")
    known = json.dumps({"corpus": corpus, "rows": rows}, ensure_ascii=False, indent=0)
    out.write_text(known + "\n")


if __name__ == "__main__":
    main()
