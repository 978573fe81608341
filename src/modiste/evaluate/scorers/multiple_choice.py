"""Questions with choices, shuffled anew for every attempt: `multiple_choice`.

The shuffle is a function of item and attempt, so every model sees the same one, and letters that a
model likes cancel out over attempts. Templates get `choices_text` (one line a choice, `A) …`),
`choices` and `letters` in the order shown, and the item keeps them (`item.arranged`), so that a
rescoring knows what each letter meant.

Modes:

- `generate`: the last line `ANSWER: X` of the answer counts, and without one the last letter that
  a looser reading finds; an answer without a letter is wrong and reported apart (after Inspect's
  `multiple_choice`).
- `logprob`: one token is asked for with the log-probabilities of the likeliest 20. Letters with
  and without white space before them are added up and brought to sum 1; the likeliest counts. Less
  than half of the mass on letters is reported as low.
- `likelihood`: nothing is generated. Each choice continues the plain text of the prompt, and the
  one with the highest log-likelihood counts; `acc_norm` divides by its bytes (after
  lm-evaluation-harness). No chat template is around it: this is for bases, and for comparison with
  published figures.

Pass rule: the value is 1.
"""

from __future__ import annotations

import hashlib
import math
import random
import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pydantic import Field

from modiste.errors import InvalidInput
from modiste.evaluate.items import Answer, Item, Prompt, Sample, Score, Status, scored, unscored
from modiste.evaluate.metric import Metric
from modiste.evaluate.scorer import Scorer, Wonder
from modiste.evaluate.scorers.attempts import attempt_metrics
from modiste.evaluate.spec import Spec

LETTERS = string.ascii_uppercase[:10]
STRICT = re.compile(r"(?im)^[ \t]*ANSWER[ \t]*:[ \t]*([A-J])[ \t]*\.?[ \t]*$")
LOOSE = (
    re.compile(r"\b(?i:answer)\b[ \t]*(?:is)?[ \t]*:?[\s*_(\[\"'`]*([A-J])\b(?!['’])"),
    re.compile(r"\A[\s*_(\[\"'`]*([A-J])[\s*_)\]\"'`.:]*(?:\Z|\n|[ \t]*[).:])"),
)
TOP = 20
LOW_MASS = 0.5


@dataclass(frozen=True)
class Pick:
    """What was read from an answer."""

    letter: str | None
    reason: str = ""
    by_bytes: str | None = None
    """With likelihoods: the letter that wins per byte."""
    detail: Mapping[str, Any] = field(default_factory=dict)


class MultipleChoice(Scorer):
    """One of 2 to 10 choices; the reference is the right one's number (from 0), letter or text."""

    def __init__(self, spec: MultipleChoiceSpec) -> None:
        super().__init__(spec.name, spec.config)
        self._spec = spec
        self.reads_answer = spec.mode != "likelihood"

    def arrange(self, item: Item, attempt: int) -> Mapping[str, Any]:
        choices = self._choices(item)
        order = list(range(len(choices)))
        if self._spec.shuffle:
            random.Random(_seed(item.key, attempt)).shuffle(order)  # noqa: S311
        shown = [choices[at] for at in order]
        lines = [f"{letter}) {text}" for letter, text in zip(LETTERS, shown, strict=False)]
        return {
            "choices": shown,
            "letters": list(LETTERS[: len(shown)]),
            "choices_text": "\n".join(lines),
            "choices_order": order,
        }

    def shape(self, prompt: Prompt) -> Prompt:
        if self._spec.mode != "logprob":
            return prompt
        return replace(prompt, top_logprobs=TOP, max_tokens=1)

    def wonders(self, item: Item, prompt: Prompt) -> Wonder | None:
        if self._spec.mode != "likelihood":
            return None
        text = "\n\n".join(message.content or "" for message in prompt.messages)
        shown = item.arranged["choices"]
        return Wonder(text, tuple(self._spec.delimiter + choice for choice in shown))

    async def score(self, item: Item, answer: Answer, models: object) -> Score:
        if "choices_order" not in item.arranged:
            return unscored(Status.SKIPPED, "the item was not shown with its choices by this kind")
        letters: list[str] = item.arranged["letters"]
        pick: Pick | Score
        if self._spec.mode == "generate":
            pick = _read(answer.text, letters)
        elif self._spec.mode == "logprob":
            pick = _weighed(answer, letters)
        else:
            pick = self._likelier(item, answer, letters)
        return pick if isinstance(pick, Score) else self._graded(item, pick)

    def _graded(self, item: Item, pick: Pick) -> Score:
        order: list[int] = item.arranged["choices_order"]
        letters: list[str] = item.arranged["letters"]
        right = letters[order.index(self._right(item))]
        detail = {"right": right, **pick.detail}
        if pick.letter is not None:
            detail["picked"] = order[letters.index(pick.letter)]
        if pick.by_bytes is not None:
            detail["acc_norm"] = pick.by_bytes == right
        return scored(pick.letter == right, label=pick.letter, reason=pick.reason, **detail)

    def metrics(self, samples: Sequence[Sample]) -> tuple[Metric, ...]:
        return attempt_metrics(self, samples, also=("acc_norm",) if not self.reads_answer else ())

    def fitted(self, items: Sequence[Item]) -> Scorer:
        """Refuses a dataset whose rows have no choices or no right one."""
        problems = []
        for item in items:
            try:
                self._right(item)
            except InvalidInput as error:
                problems.append(error.message)
        if problems:
            more = f" and {len(problems) - 3} more like these" if len(problems) > 3 else ""
            raise InvalidInput("; ".join(problems[:3]) + more, param="dataset")
        return self

    def _choices(self, item: Item) -> list[str]:
        value = item.row.get(self._spec.choices)
        texts = value.get("text") if isinstance(value, Mapping) else value
        if not isinstance(texts, list) or not 2 <= len(texts) <= len(LETTERS):
            raise InvalidInput(
                f"item {item.key}: {self._spec.choices} is {str(value)[:80]!r}, expected a list of"
                f" 2 to {len(LETTERS)} choices"
            )
        return [str(text) for text in texts]

    def _right(self, item: Item) -> int:
        """Number of the right choice in the row's order."""
        choices, reference = self._choices(item), item.reference
        if isinstance(reference, str) and reference in choices:
            return choices.index(reference)
        if isinstance(reference, str) and reference.strip().isdecimal():
            reference = int(reference)
        if isinstance(reference, str) and reference.strip().upper() in tuple(LETTERS):
            reference = LETTERS.index(reference.strip().upper())
        if isinstance(reference, bool) or not isinstance(reference, int):
            reference = -1
        if not 0 <= reference < len(choices):
            raise InvalidInput(
                f"item {item.key}: the reference is {item.reference!r}, expected the right choice's"
                f" number from 0 to {len(choices) - 1}, its letter or its text"
            )
        return reference

    def _likelier(self, item: Item, answer: Answer, letters: list[str]) -> Pick | Score:
        told = answer.told.get(self.name)
        if told is None:
            return unscored(Status.SKIPPED, "the model was not asked how likely each choice is")
        if told.failure is not None:
            return unscored(Status.ERROR, f"no likelihoods: {told.failure.message}")
        sums = [found.logprob for found in told.likelihoods]
        per_byte = [
            value / max(1, len(choice.encode()))
            for value, choice in zip(sums, item.arranged["choices"], strict=True)
        ]
        logprobs = dict(zip(letters, sums, strict=True))
        best = letters[_argmax(sums)]
        return Pick(best, by_bytes=letters[_argmax(per_byte)], detail={"logprobs": logprobs})


def _read(text: str, letters: Sequence[str]) -> Pick:
    found = [match[1].upper() for match in STRICT.finditer(text)]
    for pattern in LOOSE:
        found = found or [match[1].upper() for match in pattern.finditer(text)]
    if not found or found[-1] not in letters:
        return Pick(None, "no letter of a choice in the answer", detail={"unread": True})
    return Pick(found[-1])


def _weighed(answer: Answer, letters: Sequence[str]) -> Pick | Score:
    if not answer.logprobs:
        return unscored(Status.ERROR, "the model told no log-probabilities of its first token")
    first = answer.logprobs[0]
    seen = dict(first.top) | {first.text: first.logprob}
    mass = dict.fromkeys(letters, 0.0)
    for token, logprob in seen.items():
        letter = token.lstrip("▁Ġ").strip()
        if letter in mass:
            mass[letter] += math.exp(logprob)
    total = sum(mass.values())
    if total == 0:
        return Pick(None, "no letter among the likeliest tokens", detail={"unread": True})
    shares = {letter: value / total for letter, value in mass.items()}
    detail: dict[str, Any] = {"mass": total, "shares": shares}
    if total >= LOW_MASS:
        return Pick(max(shares, key=lambda letter: shares[letter]), detail=detail)
    reason = f"letters have {total:.0%} of the probability"
    best = max(shares, key=lambda letter: shares[letter])
    return Pick(best, reason, detail={**detail, "low_mass": True})


def _argmax(values: Sequence[float]) -> int:
    return max(range(len(values)), key=lambda at: values[at])


def _seed(key: str, attempt: int) -> int:
    digest = hashlib.blake2b(f"choices:{attempt}:{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest)


class MultipleChoiceSpec(Spec):
    kind: Literal["multiple_choice"] = "multiple_choice"
    name: str = "multiple_choice"
    mode: Literal["generate", "logprob", "likelihood"] = "generate"
    choices: str = "choices"
    """The row's field with the list of choices (or with `{"text": [...]}`)."""
    shuffle: bool = True
    """False keeps the row's order in every attempt."""
    delimiter: str = Field(default=" ", max_length=8)
    """With `likelihood`: stands between the prompt and a choice."""

    def build(self) -> MultipleChoice:
        return MultipleChoice(self)
