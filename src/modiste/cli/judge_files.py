"""Files of pairs that experts have judged, and of verdicts that a judge gave on them.

A line of pairs is `{"id", "question", "a", "b", "votes": {"ann": "a", "ben": "tie"}}`, with what
else a judge's templates name; a vote is a, b or tie (or 1, 2, 0). Two answers and votes under other
names are told by options, and the test set of PandaLM is known as it is. A line of verdicts is
`{"id", "verdict"}`, or what `--save-verdicts` wrote.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from modiste.errors import InvalidInput
from modiste.evaluate.dataset import items_in
from modiste.evaluate.items import Item, Status
from modiste.evaluate.judges.asking import Usage
from modiste.evaluate.judges.experts import ExpertPair
from modiste.evaluate.judges.pairs import VERDICTS, Look, Outcome, Pair, PairVerdict, verdict_of
from modiste.evaluate.judges.spec import as_text
from modiste.evaluate.suite import Data
from modiste.evaluate.template import Template
from modiste.types import Problem

WORDS: Mapping[str, Outcome] = {
    **{word: Outcome.A for word in ("a", "1", "first")},
    **{word: Outcome.B for word in ("b", "2", "second")},
    **{word: Outcome.TIE for word in ("tie", "0", "c", "equal", "draw")},
}
EXPECTED = "a, b or tie (or 1, 2, 0)"
IDS = ("id", "idx", "key")
SAYINGS = ("verdict", "gpt_result")


class Layout(NamedTuple):
    """Where a row keeps what."""

    a: str = "a"
    b: str = "b"
    votes: tuple[str, ...] = ()
    """Fields with one vote each; without, all are in `votes`."""
    id: str | None = None
    cluster: str | None = None
    """Template: pairs with the same text share a source."""


PANDALM = Layout(
    "response1",
    "response2",
    ("annotator1", "annotator2", "annotator3"),
    "idx",
    "{{instruction}}\n{{input}}",
)


class Judgements(NamedTuple):
    """What a file of pairs holds."""

    pairs: tuple[ExpertPair, ...]
    experts: tuple[str, ...]
    clusters: Mapping[str, str] | None
    """By key; None where no two pairs share anything."""


def read_pairs(path: Path, asked: Layout, *, limit: int | None = None, seed: int = 0) -> Judgements:
    """
    Args:
        asked: what options say; the defaults where they say nothing.
        limit: so many pairs, drawn by the seed.

    Raises:
        InvalidInput: every line that is not such a pair.
    """
    items = items_in(path, Data(path=str(path), limit=limit, seed=seed), name=path.name)
    layout = _layout(items[0].row, asked)
    experts = layout.votes or _names(items)
    problems: list[Problem] = []
    pairs: list[ExpertPair] = []
    for item in items:
        try:
            pairs.append(_expert_pair(item, layout, experts))
        except InvalidInput as error:
            key = item.row.get(layout.id or "", item.key)
            problems.append(Problem(path.name, None, str(key), "not_a_pair", error.message))
    if problems:
        said = "; ".join(f"pair {problem.path}: {problem.message}" for problem in problems[:3])
        raise InvalidInput(f"{path.name}: {said}", param="pairs", problems=problems)
    return Judgements(tuple(pairs), experts, _clusters(pairs, layout, path))


def read_verdicts(path: Path) -> list[PairVerdict]:
    """
    Raises:
        InvalidInput: a line that is no verdict.
    """
    found: list[PairVerdict] = []
    problems: list[Problem] = []
    for item in items_in(path, Data(path=str(path)), name=path.name):
        try:
            found.append(_verdict(item.row))
        except (InvalidInput, ValueError) as error:
            said = str(error).partition("\n")[0]
            problems.append(Problem(path.name, None, item.key, "not_a_verdict", said))
    if problems:
        said = "; ".join(problem.message for problem in problems[:3])
        raise InvalidInput(f"{path.name}: {said}", param="verdicts", problems=problems)
    return found


class Ratings(NamedTuple):
    """Two ratings of each answer, and what they are of."""

    judge: list[float]
    people: list[float]
    groups: list[str] | None
    systems: list[str] | None


def read_ratings(
    path: Path, judge: str, human: str, *, group: str | None, system: str | None
) -> Ratings:
    """
    Raises:
        InvalidInput: rows without one of the fields, or with ratings that are no numbers.
    """
    rows = [item.row for item in items_in(path, Data(path=str(path)), name=path.name)]

    def numbers(source: str, param: str) -> list[float]:
        template = Template(source, param=param)
        return [_number(template.render(row), param, path) for row in rows]

    def texts(source: str | None, param: str) -> list[str] | None:
        if source is None:
            return None
        template = Template(source, param=param)
        return [template.render(row) for row in rows]

    return Ratings(
        numbers(judge, "judge"), numbers(human, "human"), texts(group, "group"),
        texts(system, "system"),
    )  # fmt: skip


def _number(text: str, param: str, path: Path) -> float:
    try:
        return float(text)
    except ValueError:
        raise InvalidInput(f"{path.name}: {param} gives {text!r}, which is no number") from None


def with_lengths(verdicts: Sequence[PairVerdict], pairs: Sequence[ExpertPair]) -> list[PairVerdict]:
    """Verdicts with the lengths of the answers they are about, which short files leave out."""
    known = {pair.pair.item.key: pair.pair for pair in pairs}
    return [
        replace(
            verdict,
            length_a=len(known[verdict.key].a),
            length_b=len(known[verdict.key].b),
        )
        if verdict.key in known
        else verdict
        for verdict in verdicts
    ]


def _layout(row: Mapping[str, Any], asked: Layout) -> Layout:
    if asked == Layout() and all(name in row for name in (PANDALM.a, PANDALM.b, *PANDALM.votes)):
        return PANDALM
    named = next((name for name in IDS if name in row), None)
    cluster = "{{cluster}}" if "cluster" in row and asked.cluster is None else asked.cluster
    return asked._replace(id=asked.id or named, cluster=cluster)


def _names(items: Sequence[Item]) -> tuple[str, ...]:
    """Of everyone who voted on anything, in the order in which they appear."""
    names: dict[str, None] = {}
    for item in items:
        votes = item.row.get("votes")
        if isinstance(votes, dict):
            names |= dict.fromkeys(map(str, votes))
        elif isinstance(votes, list):
            names |= dict.fromkeys(f"expert {at}" for at in range(1, len(votes) + 1))
    return tuple(names)


def _expert_pair(item: Item, layout: Layout, experts: Sequence[str]) -> ExpertPair:
    row = item.row
    missing = [name for name in (layout.a, layout.b, *layout.votes) if name not in row]
    if missing:
        there = ", ".join(sorted(map(str, row)))
        raise InvalidInput(f"has no {', '.join(missing)}; it has {there}")
    a, b = as_text(row[layout.a]), as_text(row[layout.b])
    votes = {name: row[name] for name in layout.votes} if layout.votes else _votes(row)
    cast = tuple(None if votes.get(name) is None else _outcome(votes[name]) for name in experts)
    if not any(cast):
        raise InvalidInput("has no vote; give votes, or name their fields with --human")
    key = item.key if layout.id is None else str(row.get(layout.id, item.key))
    models = (row.get("model_a"), row.get("model_b"))
    return ExpertPair(
        Pair(Item(key, row), a, b),
        cast,
        (str(models[0]), str(models[1])) if None not in models else None,
    )


def _votes(row: Mapping[str, Any]) -> Mapping[str, Any]:
    votes = row.get("votes")
    if isinstance(votes, list):
        return {f"expert {at}": vote for at, vote in enumerate(votes, start=1)}
    return {str(name): vote for name, vote in votes.items()} if isinstance(votes, dict) else {}


def _outcome(said: Any) -> Outcome:
    found = _word(said)
    if found is None:
        raise InvalidInput(f"a vote is {said!r}, expected {EXPECTED}")
    return found


def _word(said: Any) -> Outcome | None:
    return WORDS.get(str(said).strip().casefold())


def _clusters(pairs: Sequence[ExpertPair], layout: Layout, path: Path) -> Mapping[str, str] | None:
    keys = [pair.pair.item.key for pair in pairs]
    if len(set(keys)) < len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise InvalidInput(f"{path.name}: two pairs have the id {twice!r}", param="pairs")
    if layout.cluster is None:
        return None
    template = Template(layout.cluster, param="cluster")
    named = {pair.pair.item.key: template.render(pair.pair.item.row) for pair in pairs}
    return named if len(set(named.values())) < len(named) else None


def _verdict(row: Mapping[str, Any]) -> PairVerdict:
    """A whole verdict as we write it, or what a judge said in one word, in one or both orders."""
    if "looks" in row:
        return VERDICTS.validate_json(json.dumps(row))
    key = next((str(row[name]) for name in IDS if name in row), None)
    said = next((row[name] for name in SAYINGS if name in row), None)
    if key is None or said is None:
        raise InvalidInput(f"has {', '.join(row)}; expected id and verdict")
    usage = Usage(
        calls=1 if {"latency_s", "cost_micro", "prompt_tokens"} & set(row) else 0,
        prompt_tokens=row.get("prompt_tokens") or 0,
        completion_tokens=row.get("completion_tokens") or 0,
        latency_s=row.get("latency_s") or 0.0,
        cost_micro=row.get("cost_micro"),
    )
    pair = Pair(Item(key, {}), "", "")
    return verdict_of(pair, [_look(said, usage)])


def _look(said: Any, usage: Usage) -> Look:
    outcome = _word(said)
    if outcome is None:
        reason = f"it said {said!r}, expected {EXPECTED}"
        return Look(None, Status.PARSE_FAILED, reason=reason, usage=usage)
    return Look(
        None,
        Status.SCORED,
        float(outcome is Outcome.A),
        float(outcome is Outcome.B),
        usage=usage,
    )
