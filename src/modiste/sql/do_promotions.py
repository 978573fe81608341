"""PROMOTE: a name of this server is switched to the model behind a version, if its gate is passed.

Without a gate of its own the version has to be shown better than what answers now. A refusal is on
record as any decision is; an override is, with its reason. What a version's prompt adds stays with
SQL: a name is answered by the model alone.
"""

from __future__ import annotations

import asyncio
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

from modiste.actions import promotions
from modiste.evaluate.gate_spec import Gate, Win
from modiste.prepare.checked import checked
from modiste.sql import errors, names, predict
from modiste.sql.names import Names
from modiste.sql.result import Column, Rows, rows
from modiste.sql.session import PROJECT, Session
from modiste.sql.statements import Promote
from modiste.types import PredictorVersion, Promotion, PromotionKind

PROMOTED = tuple(
    Column(name)
    for name in ("NAME", "MODEL", "PREVIOUS", "DECISION", "GATE", "REASON", "DECIDED_BY")
)
BETTER = Gate(name="better than what answers now", primary=Win())
ADDED = ("prompt", "prompt_template", "question_column", "context_column")


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


Ids = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class Evidence(BaseModel):
    """What USING says of a promotion."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    gate: Gate | None = None
    """As in `gate.yaml`."""
    runs: Ids = ()
    """Ids of runs of the model, one a suite."""
    baselines: Ids = ()
    """Ids of runs of the model that answers now, on the same suites."""
    approved_by: Ids = ()


async def promote(said: Promote, session: Session) -> Rows:
    """
    Raises:
        SqlError: there is no evidence, or the gate refuses, with every condition in the way.
    """
    version = _version(await names.load(session), said)
    name = _own_name(version) if said.to is None else said.to
    asked = checked(Evidence, dict(said.using), file="USING")
    if not asked.runs and said.override is None:
        raise errors.bad(
            f"{name} is switched on evidence: USING runs = ['...'] of {version.label} and baselines"
            " = ['...'] of what answers now (gate = {...} asks for something else), or OVERRIDE "
            "'reason'."
        )
    made = await asyncio.to_thread(
        promotions.promote,
        session.place.database,
        session.caller,
        name=name,
        model=str(version.model),
        gate=asked.gate or (BETTER if asked.runs else None),
        runs=asked.runs,
        baselines=asked.baselines,
        approved_by=asked.approved_by,
        override=said.override,
    )
    if made.kind is PromotionKind.REFUSED:
        raise errors.bad(_refusal(made))
    if added := [key for key in ADDED if version.options.get(key)]:
        session.notes.append(
            f"{name} is answered by {made.model} alone: {', '.join(added)} of {version.label} "
            "does not go with it."
        )
    outcome = None if made.gate is None else str(made.gate["outcome"])
    told = (made.name, made.model, made.previous, made.kind.value, outcome, made.reason,
            made.decided_by)  # fmt: skip
    return rows(PROMOTED, [told])


def _version(seen: Names, said: Promote) -> PredictorVersion:
    named = seen.named(said.name)
    if named.version is None:
        raise errors.bad(f"Say which version: PROMOTE {named.name}.N")
    found = seen.model(named)
    if found is None:
        raise errors.no_table(
            f"Model {named.name} with version {named.version} is not found in {named.project}"
        )
    predict.refuse_unready(found)
    return found


def _own_name(version: PredictorVersion) -> str:
    project = "" if version.project == PROJECT else f"{version.project}/"
    return f"{project}{version.name}@production"


def _refusal(made: Promotion) -> str:
    found = made.gate or {}
    in_the_way = "; ".join(
        f"{each['name']}: {each['outcome']}: {each['sentence']}"
        for each in found.get("conditions", ())
        if each["outcome"] != "pass"
    )
    stays = f"stays with {made.previous}" if made.previous else "is not set"
    return (
        f"{made.name} {stays}: the gate says {found.get('outcome')} of {made.model}. {in_the_way}"
    )
