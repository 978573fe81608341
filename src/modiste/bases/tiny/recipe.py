"""The recipe of modiste-tiny, one command from public text to the folder that ships.

    python -m modiste.bases.tiny.recipe --data DIR --out DIR

Read `main` from top to bottom: tokenizer, pre-training, instruction stage, export. Every stage
leaves its result below `--out` and is skipped or resumed when it is there already. A run may be
shortened: stop it and start it again with a smaller `--steps`.
"""

# ruff: noqa: S311 - the draws are seeded on purpose: the recipe must repeat itself

import argparse
import json
import logging
import os
import random
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

from modiste.bases.tiny.corpus import Corpus, find_data, read_corpus
from modiste.bases.tiny.model import Shape, TinyMistral
from modiste.bases.tiny.pretrain import Plan, Stream, Streams, pretrain
from modiste.bases.tiny.shaped import shaped_document
from modiste.bases.tiny.tokenizer import BOS, EOS, load_tokenizer, train_tokenizer

log = logging.getLogger(__name__)

SHAPED_FOR_TOKENIZER = 3_000
SHAPED_DOCUMENTS = 30_000


def main(argv: list[str] | None = None) -> None:
    arguments = parse(argv)
    data = find_data(arguments.data)
    if data is None:
        raise SystemExit(f"no corpora below {arguments.data or '../shared/data'}; pass --data DIR")
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(arguments.threads)
    plan = Plan(steps=arguments.steps, decay_steps=arguments.decay_steps, seed=arguments.seed)
    write = logger(out / "log.jsonl")

    corpus = read_corpus(data, plan.seed)
    tokenizer = make_tokenizer(out, corpus, plan.seed)
    streams = make_streams(tokenizer, corpus, plan.seed)
    model = TinyMistral(Shape(), seed=plan.seed)
    write({"stage": "pretrain", "plan": asdict(plan), "corpus_tokens": len(streams.corpus)})
    pretrain(model, streams, plan, out, lambda p: write({"stage": "pretrain", **asdict(p)}))


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m modiste.bases.tiny.recipe")
    parser.add_argument("--data", help="folder with j_corpus_*; default MODISTE_DATA")
    parser.add_argument("--out", required=True, help="folder for checkpoints and the result")
    parser.add_argument("--steps", type=int, default=8_000, help="steps of 4,096 tokens")
    parser.add_argument("--decay-steps", type=int, default=1_500, help="falling to 0 at the end")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    return parser.parse_args(argv)


def make_tokenizer(out: Path, corpus: Corpus, seed: int) -> Tokenizer:
    if not (out / "tokenizer.json").exists():
        rng = random.Random(seed)
        shaped = [shaped_document(rng) for _ in range(SHAPED_FOR_TOKENIZER)]
        train_tokenizer([*corpus.train, *shaped]).save(str(out / "tokenizer.json"))
    return load_tokenizer(out)


def make_streams(tokenizer: Tokenizer, corpus: Corpus, seed: int) -> Streams:
    rng = random.Random(seed + 1)
    shaped = to_stream(tokenizer, [shaped_document(rng) for _ in range(SHAPED_DOCUMENTS)])
    return Streams(corpus=to_stream(tokenizer, corpus.train), shaped=shaped, chats=shaped)


def to_stream(tokenizer: Tokenizer, documents: Iterable[str]) -> Stream:
    bos, eos = tokenizer.token_to_id(BOS), tokenizer.token_to_id(EOS)
    encoded = tokenizer.encode_batch(list(documents), add_special_tokens=False)
    return np.concatenate([np.array([bos, *e.ids, eos], dtype=np.uint16) for e in encoded])


def logger(path: Path) -> Callable[[dict[str, object]], None]:
    def write(row: dict[str, object]) -> None:
        with path.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)

    return write


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    main()
