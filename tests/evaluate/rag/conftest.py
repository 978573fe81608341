"""A double of a judge of contexts: a claim is supported where a passage says the same sentence."""

from __future__ import annotations

import json
import re

import pytest

from modiste.evaluate.items import Answer
from modiste.evaluate.rag.sentences import folded, sentences

FENCED = re.compile(r"<<(\w+) ([0-9a-f]{8})>>\n(.*?)\n<<END \2>>", re.DOTALL)


class Reader:
    """Splits by sentence, and supports what stands in the context word by word.

    Every part can be replaced by a function of what is shown and how often it was asked.
    """

    def __init__(self, **parts):
        self.parts = parts
        self.asked: list[str] = []
        self.prompts = []

    async def chat(self, model, prompt):
        self.prompts.append(prompt)
        found = FENCED.findall(prompt.messages[1].content)
        shown = {name: text for name, _, text in found}
        kind = next(iter(prompt.schema["properties"]))
        self.asked.append(kind)
        part = self.parts.get(kind) or getattr(self, f"_{kind}")
        said = part(shown, self.asked.count(kind))
        return Answer(said if isinstance(said, str) else json.dumps(said), prompt_tokens=10)

    async def embed(self, model, texts):
        return [[float("born" in text), float("won" in text), 0.1] for text in texts]

    def _claims(self, shown, nth):
        lines = [line.split("] ", 1) for line in shown["TEXT"].splitlines()]
        claims = [
            {"id": 1, "text": text, "source_sentence": int(number[1:])} for number, text in lines
        ]
        return {"claims": claims, "skipped": []}

    def _verdicts(self, shown, nth):
        known = {folded(sentence) for sentence in sentences(shown["CONTEXT"])}
        verdicts = []
        for name, text in shown.items():
            if name.startswith("CLAIM_"):
                there = folded(text) in known
                quote = text if there else ""
                verdicts.append(
                    {"id": int(name[6:]), "quote": quote, "reason": "r", "verdict": int(there)}
                )
        return {"verdicts": verdicts}


@pytest.fixture
def reader():
    return Reader
