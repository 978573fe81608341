"""Safety rows beside an application's: so many of a file, so many made from categories.

Every row of the application stays, in its order; what is added comes behind it. Nothing is drawn
twice, and a row that the application has already is not added. The report names file, line, kind
and category of every row that was added, so that with the application's file it says of each row
where it came from.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import orjson
from pydantic import BaseModel, Field

from modiste.errors import InvalidInput
from modiste.prepare.curate.inputs import one_shape
from modiste.prepare.curate.safety_rows import Category, made
from modiste.prepare.curate.stage import Corpus, Outcome, Settings
from modiste.prepare.records import Record, row_id
from modiste.types import Example, Message, Role, SampleType

GENERATED = "generated"
"""In place of a file's name; the line is the row's number among all that can be made."""
AMOUNT = r"^\d+$|^\d+(\.\d+)?%$"


class SafetyMix(Settings):
    safety: str = Field(default="0", pattern=AMOUNT)
    """Rows of the safety files: a number, or a share of all rows that come out (`5%`)."""
    generated: str = Field(default="0", pattern=AMOUNT)
    """Rows made from categories, likewise."""
    categories: tuple[Category, ...] = ()
    source: str = ""
    """The policy or taxonomy that categories are of."""
    seed: int = 0


class _SafetyMixStage:
    name: ClassVar[str] = "safety-mix"
    version: ClassVar[int] = 1
    settings: ClassVar[type[BaseModel]] = SafetyMix
    reads: ClassVar[tuple[str, ...]] = ()

    def run(self, inputs: Sequence[Corpus], settings: SafetyMix) -> Outcome:
        return safety_mix(inputs[0], inputs[1:], settings)


STAGE = _SafetyMixStage()


class Added(NamedTuple):
    record: Record
    kind: str
    category: str | None


def safety_mix(application: Corpus, safety: Sequence[Corpus], settings: SafetyMix) -> Outcome:
    """
    Raises:
        InvalidInput: rows that are no chats, files of several formats, more rows than there are.
    """
    one_shape([application, *safety])
    ids: set[str] = set()
    n_application = 0
    for record in application:
        _refuse_other(record)
        ids.add(record.id)
        n_application += 1
    n_file, n_made = amounts(n_application, settings.safety, settings.generated)
    there: list[Added] = []
    pools = {
        "safety": _pool((Added(each, "file", None) for c in safety for each in c), ids, there),
        GENERATED: _pool(_made(settings.categories), ids, there),
    }
    added = _drawn(pools["safety"], n_file, settings.seed, "safety files have")
    added += _drawn(pools[GENERATED], n_made, settings.seed, f"{settings.source} makes")

    def kept() -> Iterator[Record]:
        yield from application
        for each in added:
            yield each.record

    return Outcome(kept(), _report(application, n_application, added, there))


def amounts(n_application: int, safety: str, generated: str) -> tuple[int, int]:
    """How many rows of each are added; shares are of all that comes out.

    Raises:
        InvalidInput: shares that leave the application no room.
    """
    said = (safety, generated)
    shares = [float(each[:-1]) / 100 if each.endswith("%") else 0.0 for each in said]
    counts = [0 if each.endswith("%") else int(each) for each in said]
    if sum(shares) >= 1:
        raise InvalidInput(f"safety {safety} and generated {generated} leave no application rows")
    total = (n_application + sum(counts)) / (1 - sum(shares))
    first, second = (
        count or round(total * share) for count, share in zip(counts, shares, strict=True)
    )
    return first, second


def _pool(rows: Iterator[Added], ids: set[str], there: list[Added]) -> list[Added]:
    """Each row once, and none that is there already; those are told."""
    found: list[Added] = []
    for each in rows:
        _refuse_other(each.record)
        if each.record.id in ids:
            there.append(each)
            continue
        ids.add(each.record.id)
        found.append(each)
    return found


def _made(categories: Sequence[Category]) -> Iterator[Added]:
    for number, each in enumerate(made(categories), start=1):
        messages = tuple(Message(Role(m["role"]), m["content"]) for m in each.row["messages"])
        example = Example(number, SampleType.INSTRUCT, messages)
        raw = orjson.dumps(each.row)
        record = Record(row_id(each.row), GENERATED, number, raw, each.row, example)
        yield Added(record, each.kind, each.category)


def _drawn(pool: Sequence[Added], n: int, seed: int, what: str) -> list[Added]:
    if n > len(pool):
        raise InvalidInput(
            f"{n:,} rows are asked for, and {what} {len(pool):,} that are not there yet; no row is "
            "added twice. Ask for fewer, or give more"
        )
    order = sorted(pool, key=lambda each: _chance(each.record.id, seed))
    chosen = {each.record.id for each in order[:n]}
    return [each for each in pool if each.record.id in chosen]


def _chance(id_: str, seed: int) -> bytes:
    return hashlib.blake2b(f"safety-mix {seed} {id_}".encode(), digest_size=8).digest()


def _refuse_other(record: Record) -> None:
    if record.example.sample_type is not SampleType.INSTRUCT or not (
        isinstance(record.value, Mapping) and "messages" in record.value
    ):
        raise InvalidInput(
            f"{record.file} line {record.line} is no chat with messages; safety rows are chats, so "
            "convert the file first: `modiste data convert FILE --output NEW`"
        )


def _report(
    application: Corpus, n_application: int, added: Sequence[Added], there: Sequence[Added]
) -> dict[str, Any]:
    total = n_application + len(added)
    kinds = Counter(each.kind for each in added)
    return {
        "rows": {"application": n_application, **kinds},
        "shares": {
            name: round(n / max(1, total), 4)
            for name, n in {"application": n_application, **kinds}.items()
        },
        "categories": dict(Counter(each.category for each in added if each.category)),
        "origins": {
            "application": {"file": application.filename, "first_line": 1, "rows": n_application},
            "added": [
                {"line": n_application + at, **_origin(each)} for at, each in enumerate(added, 1)
            ],
        },
        "already_there": [_origin(each) for each in there],
    }


def _origin(added: Added) -> dict[str, Any]:
    record = added.record
    told: dict[str, Any] = {"file": record.file, "file_line": record.line, "id": record.id}
    return {**told, "kind": added.kind, "category": added.category}
