"""The recipe of modiste-tiny, one command from public text to the folder that ships.

    python -m modiste.bases.tiny.recipe --data DIR --out DIR

Read `main` from top to bottom: tokenizer, pre-training, instruction stage, export, measures. Each
training stage keeps its checkpoints in a folder below `--out` and goes on from the last of them. A
run may be shortened: stop it and start it again with a smaller `--steps`.
"""

# ruff: noqa: S311 - the draws are seeded on purpose: the recipe must repeat itself

import argparse
import json
import logging
import os
import random
from collections.abc import Callable, Iterable
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

from modiste.bases.tiny.chats import Chat, Renderer, make_chat
from modiste.bases.tiny.corpus import Corpus, find_data, read_corpus, read_sentences
from modiste.bases.tiny.export import TEMPLATE, export, load_exported
from modiste.bases.tiny.instruct import InstructPlan, encode, instruct
from modiste.bases.tiny.measure import bits_per_byte, exact_answers
from modiste.bases.tiny.model import Shape, TinyMistral
from modiste.bases.tiny.pretrain import Plan, Stream, Streams, pretrain
from modiste.bases.tiny.shaped import shaped_document
from modiste.bases.tiny.tasks_text import Source
from modiste.bases.tiny.tokenizer import BOS, EOS, load_tokenizer, train_tokenizer

log = logging.getLogger(__name__)

SHAPED_FOR_TOKENIZER = 3_000
SHAPED_DOCUMENTS = 30_000
CHATS = 60_000
CHATS_HELD_OUT = 2_000
Write = Callable[[dict[str, object]], None]


def main(argv: list[str] | None = None) -> None:
    arguments = parse(argv)
    data = find_data(arguments.data)
    if data is None:
        raise SystemExit(f"no corpora below {arguments.data or '../shared/data'}; pass --data DIR")
    torch.set_num_threads(arguments.threads)
    seed, out = arguments.seed, Path(arguments.out)
    (out / "pretrain").mkdir(parents=True, exist_ok=True)
    (out / "instruct").mkdir(exist_ok=True)
    write = logger(out / "log.jsonl")

    corpus = read_corpus(data, seed)
    source = Source(sentences=read_sentences(data), passages=passages(corpus))
    tokenizer = make_tokenizer(out, corpus, seed)
    chats, unseen_chats = make_chats(source, seed)

    plan = Plan(steps=arguments.steps, decay_steps=arguments.decay_steps, seed=seed)
    streams = make_streams(tokenizer, corpus, chats, seed)
    model = TinyMistral(Shape(), seed=seed)
    write({"stage": "pretrain", "plan": asdict(plan), "corpus_tokens": len(streams.corpus)})
    pretrain(
        model,
        streams,
        plan,
        out / "pretrain",
        on_progress=lambda progress: write({"stage": "pretrain", **asdict(progress)}),
    )

    renderer = Renderer(TEMPLATE)
    instruct_plan = InstructPlan(steps=arguments.instruct_steps, seed=seed)
    write({"stage": "instruct", "plan": asdict(instruct_plan), "chats": len(chats)})
    instruct(
        model,
        [encode(chat, renderer, tokenizer) for chat in chats],
        streams.corpus,
        instruct_plan,
        out / "instruct",
        on_progress=lambda progress: write({"stage": "instruct", **asdict(progress)}),
    )

    export(model, tokenizer, out / "model")
    measure(out, tokenizer, corpus, unseen_chats, write)


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m modiste.bases.tiny.recipe")
    parser.add_argument("--data", help="folder with j_corpus_*; default MODISTE_DATA")
    parser.add_argument("--out", required=True, help="folder for checkpoints and the result")
    parser.add_argument("--steps", type=int, default=2_660, help="steps of 4,096 tokens")
    parser.add_argument("--decay-steps", type=int, default=410, help="falling to 0 at the end")
    parser.add_argument("--instruct-steps", type=int, default=240)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    return parser.parse_args(argv)


def make_tokenizer(out: Path, corpus: Corpus, seed: int) -> Tokenizer:
    if not (out / "tokenizer.json").exists():
        rng = random.Random(seed)
        shaped = [shaped_document(rng) for _ in range(SHAPED_FOR_TOKENIZER)]
        train_tokenizer([*corpus.train, *shaped]).save(str(out / "tokenizer.json"))
    return load_tokenizer(out)


def passages(corpus: Corpus) -> list[tuple[str, str]]:
    """Two short paragraphs of a training document, one after the other."""
    pairs = []
    for document in corpus.train:
        paragraphs = document.split("\n\n")
        pairs += [
            (first, second)
            for first, second in pairwise(paragraphs)
            if 80 < len(first) < 300 and 40 < len(second) < 250
        ]
    return pairs


def make_chats(source: Source, seed: int) -> tuple[list[Chat], list[Chat]]:
    """Chats to train on, and chats from another draw of the same makers to measure with."""
    rng, other = random.Random(seed + 2), random.Random(seed + 1_000_003)
    return (
        [make_chat(rng, source) for _ in range(CHATS)],
        [make_chat(other, source) for _ in range(CHATS_HELD_OUT)],
    )


def make_streams(tokenizer: Tokenizer, corpus: Corpus, chats: list[Chat], seed: int) -> Streams:
    rng, renderer = random.Random(seed + 1), Renderer(TEMPLATE)
    shaped = [shaped_document(rng) for _ in range(SHAPED_DOCUMENTS)]
    rendered = [renderer.text(chat.messages, chat.tools) for chat in chats]
    return Streams(
        corpus=to_stream(tokenizer, [BOS + text + EOS for text in corpus.train]),
        shaped=to_stream(tokenizer, [BOS + text + EOS for text in shaped]),
        chats=to_stream(tokenizer, rendered),
    )


def to_stream(tokenizer: Tokenizer, documents: Iterable[str]) -> Stream:
    encoded = tokenizer.encode_batch(list(documents), add_special_tokens=False)
    return np.concatenate([np.array(each.ids, dtype=np.uint16) for each in encoded])


def measure(
    out: Path, tokenizer: Tokenizer, corpus: Corpus, unseen_chats: list[Chat], write: Write
) -> None:
    """Of the bf16 weights that ship, not of the fp32 ones that were trained."""
    model = load_exported(out / "model")
    renderer = Renderer(TEMPLATE)
    write({"stage": "final", "bits_per_byte": bits_per_byte(model, tokenizer, corpus.valid)})
    encoded = [encode(chat, renderer, tokenizer) for chat in unseen_chats]
    exact = {task: tuple(score) for task, score in exact_answers(model, encoded).items()}
    write({"stage": "final", "exact_answers": exact})


def logger(path: Path) -> Write:
    def write(row: dict[str, object]) -> None:
        with path.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)

    return write


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    main()
