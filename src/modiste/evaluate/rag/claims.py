"""A text taken apart into claims, and claims held against a context, by a judge.

Nothing gets lost on the way: a sentence gives a claim or is listed as one without, every claim gets
a verdict, and whatever is missing is asked for again, alone. What is then still missing is counted
(sentences) or a failure (verdicts). A quotation that is not in the context is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from modiste.evaluate.items import Models, Prompt, Score, Status, unscored
from modiste.evaluate.judges import prompting
from modiste.evaluate.judges.asking import NOTHING, Reply, Usage, ask
from modiste.evaluate.judges.reading import json_reader, object_of
from modiste.evaluate.judges.spec import JudgeFields
from modiste.evaluate.rag.sentences import numbered, quoted_in, sentences

AT_ONCE = 10
"""Claims per call: with more, judges leave some out."""
TOKENS_PER_SENTENCE = 160
TOKENS_PER_VERDICT = 200
PROMPTS = ("claims", "verify")


class Claim(NamedTuple):
    id: int
    text: str
    sentence: int
    """Its number in the text, from 1."""


@dataclass(frozen=True)
class Claims:
    """What a text claims, or why nobody knows."""

    claims: tuple[Claim, ...]
    uncovered: tuple[int, ...]
    """Sentences that gave no claim and were not listed as such, even when asked again."""
    usage: Usage
    failure: Reply[Any] | None = None


@dataclass(frozen=True)
class Verdict:
    claim: Claim
    supported: bool
    quote: str
    reason: str
    quote_missing: bool
    """Supported, and the quotation is not in the context: the judge made it up."""

    def told(self) -> dict[str, Any]:
        return {
            "claim": self.claim.text,
            "sentence": self.claim.sentence,
            "supported": self.supported,
            "quote": self.quote,
            "quote_missing": self.quote_missing,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Verdicts:
    verdicts: tuple[Verdict, ...]
    usage: Usage
    failure: Score | None = None


def prompt_hashes() -> dict[str, str]:
    return {text.name: text.sha256 for text in map(prompting.load, PROMPTS)}


async def claims_of(
    text: str, spec: JudgeFields, models: Models, *, request: str | None = None
) -> Claims:
    """Two questions at most: the text, and once more the sentences that were passed over."""
    lines = sentences(text)
    if not lines:
        return Claims((), (), NOTHING)
    everything = range(1, len(lines) + 1)
    first = await _ask_claims(lines, everything, spec, models, request=request)
    if first.value is None:
        return Claims((), (), first.usage, first)
    told = _told(first.value, everything)
    if not told.uncovered:
        return Claims(told.claims, (), first.usage)
    second = await _ask_claims(lines, told.uncovered, spec, models, request=request)
    usage = first.usage + second.usage
    if second.value is None:
        return Claims(told.claims, told.uncovered, usage)
    more = _told(second.value, told.uncovered)
    claims = sorted((*told.claims, *more.claims), key=lambda claim: claim.sentence)
    return Claims(_renumbered(claims), more.uncovered, usage)


class _Told(NamedTuple):
    claims: tuple[Claim, ...]
    uncovered: tuple[int, ...]


def _told(found: Mapping[str, Any], wanted: Sequence[int]) -> _Told:
    """Claims of the wanted sentences, numbered by us, and the sentences nothing is said of."""
    claims = [
        Claim(0, claim["text"].strip(), claim["source_sentence"])
        for claim in found["claims"]
        if claim["source_sentence"] in wanted and claim["text"].strip()
    ]
    covered = {claim.sentence for claim in claims} | set(found["skipped"])
    return _Told(_renumbered(claims), tuple(number for number in wanted if number not in covered))


def _renumbered(claims: Sequence[Claim]) -> tuple[Claim, ...]:
    return tuple(claim._replace(id=at) for at, claim in enumerate(claims, start=1))


async def _ask_claims(
    lines: tuple[str, ...],
    wanted: Sequence[int],
    spec: JudgeFields,
    models: Models,
    *,
    request: str | None,
) -> Reply[dict[str, Any]]:
    messages = prompting.fill(
        prompting.load("claims"),
        {"text": numbered(lines), "request": request},
        only=None if len(wanted) == len(lines) else list(wanted),
    )
    schema = claims_schema(len(lines))
    prompt = _with_room(spec.prompt(messages, schema=schema), TOKENS_PER_SENTENCE * len(wanted))
    return await ask(models, spec.model, prompt, json_reader(schema))


async def verify(
    claims: Sequence[Claim], context: str, spec: JudgeFields, models: Models
) -> Verdicts:
    """A verdict for every claim, or the failure of the first call that gave none."""
    batches = [claims[at : at + AT_ONCE] for at in range(0, len(claims), AT_ONCE)]
    parts = await asyncio.gather(*(_verify(batch, context, spec, models) for batch in batches))
    usage = sum((part.usage for part in parts), NOTHING)
    failed = next((part.failure for part in parts if part.failure is not None), None)
    return Verdicts(tuple(verdict for part in parts for verdict in part.verdicts), usage, failed)


async def _verify(
    batch: Sequence[Claim], context: str, spec: JudgeFields, models: Models
) -> Verdicts:
    """One call, and one more for the claims that it passed over."""
    found: dict[int, Verdict] = {}
    usage = NOTHING
    for _ in range(2):
        missing = [claim for claim in batch if claim.id not in found]
        if not missing:
            break
        reply = await _ask_verdicts(missing, context, spec, models)
        usage += reply.usage
        if reply.value is None:
            return Verdicts((), usage, reply.no_score("verifying claims"))
        found |= _by_id(reply.value["verdicts"], missing, context)
    missing = [claim for claim in batch if claim.id not in found]
    if missing:
        numbers = ", ".join(str(claim.id) for claim in missing)
        why = f"verifying claims: no verdict on claim {numbers}, also when asked again"
        return Verdicts((), usage, unscored(Status.PARSE_FAILED, why, usage=usage.told()))
    return Verdicts(tuple(found[claim.id] for claim in batch), usage)


async def _ask_verdicts(
    claims: Sequence[Claim], context: str, spec: JudgeFields, models: Models
) -> Reply[dict[str, Any]]:
    messages = prompting.fill(
        prompting.load("verify"),
        {"context": context, "claims": {claim.id: claim.text for claim in claims}},
    )
    schema = verdicts_schema([claim.id for claim in claims])
    prompt = _with_room(spec.prompt(messages, schema=schema), TOKENS_PER_VERDICT * len(claims))
    return await ask(models, spec.model, prompt, json_reader(schema))


def _by_id(
    told: Sequence[Mapping[str, Any]], claims: Sequence[Claim], context: str
) -> dict[int, Verdict]:
    wanted = {claim.id: claim for claim in claims}
    return {
        entry["id"]: Verdict(
            wanted[entry["id"]],
            bool(entry["verdict"]),
            entry["quote"],
            entry["reason"],
            quote_missing=bool(entry["verdict"]) and not quoted_in(entry["quote"], context),
        )
        for entry in told
    }


def claims_schema(n_sentences: int) -> dict[str, Any]:
    number = {"type": "integer", "minimum": 1, "maximum": n_sentences}
    claim = object_of(id={"type": "integer"}, text={"type": "string"}, source_sentence=number)
    return object_of(
        claims={"type": "array", "items": claim}, skipped={"type": "array", "items": number}
    )


def verdicts_schema(ids: Sequence[int]) -> dict[str, Any]:
    verdict = object_of(
        id={"type": "integer", "enum": list(ids)},
        quote={"type": "string"},
        reason={"type": "string"},
        verdict={"type": "integer", "minimum": 0, "maximum": 1},
    )
    return object_of(verdicts={"type": "array", "items": verdict, "maxItems": 2 * len(ids)})


def _with_room(prompt: Prompt, tokens: int) -> Prompt:
    """An answer as long as the list may get: what is cut off is lost."""
    return replace(prompt, max_tokens=max(prompt.max_tokens or 0, 128 + tokens))
