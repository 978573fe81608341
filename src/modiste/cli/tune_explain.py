"""What `modiste tune --explain` prints: every field, its value, where it is from and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from modiste.cli.output import print_table
from modiste.tune.asked import PLACES
from modiste.tune.config import DEFAULT, Config, Origin
from modiste.tune.spec import CANONICAL, SECTIONS, DataFile, Tracker, TuneSpec, value_of

PLANNED = frozenset(
    {
        *("objective", "max_steps", "epochs", "batch_size", "max_length", "checkpoint_steps"),
        *("eval_steps", "microbatch_tokens"),
    }
)
"""Left open, they are decided once the rows are read."""
PLAN = Origin("plan")


class Row(NamedTuple):
    field: str
    value: Any
    """As JSON; None is open or none."""
    source: str
    note: str


def explained(config: Config, plan: Mapping[str, Any] | None) -> list[Row]:
    """
    Args:
        plan: the spec that a dry run completed, where there was one.
    """
    planned = None if plan is None else TuneSpec.model_validate(plan)
    return [_row(name, config, planned) for name in CANONICAL]


def print_rows(rows: list[Row]) -> None:
    """What somebody or something decided, then the rest."""
    decided = [row for row in rows if row.source != str(DEFAULT)]
    print_table(
        ["field", "value", "from", "note"],
        [(row.field, _shown(row), row.source, row.note) for row in decided],
        empty="",
    )
    print_table(
        ["at its default", "value", "meaning"],
        [(row.field, _shown(row), row.note) for row in rows if row.source == str(DEFAULT)],
        empty="",
    )


def schema() -> dict[str, Any]:
    """Of a tuning file, for editors and other programs."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return head | TuneSpec.model_json_schema()


def _row(name: str, config: Config, planned: TuneSpec | None) -> Row:
    value, origin = value_of(config.spec, name), config.origins[name]
    note = origin.why
    if planned is not None and name in PLACES and name != "continue_from":
        completed = value_of(planned, name)
        if completed != value:
            value, origin = completed, PLAN
    elif value is None and name in PLANNED:
        origin, note = PLAN, "decided once the rows are read: --dry-run shows it"
    if name == "lora.alpha" and value is None:
        value, note = 2.0 * config.spec.lora.rank, "twice the rank"
    return Row(
        name, _plain(value), str(origin), note or (_meaning(name) if origin == DEFAULT else "")
    )


def _meaning(name: str) -> str:
    """The first sentence of what the schema says about a field."""
    section, dot, field = name.partition(".")
    owner = SECTIONS[section] if dot else TuneSpec
    said = owner.model_fields[field if dot else section].description or ""
    return " ".join(said.split()).partition(". ")[0].removesuffix(".")


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, DataFile):
        place = value.path or value.file_id
        return place if value.weight == 1 else f"{place}:{value.weight:g}"
    if isinstance(value, Tracker):
        return value.model_dump(exclude_none=True)
    return str(value) if isinstance(value, str) else value


def _shown(row: Row) -> str:
    match row.value:
        case None | []:
            return "–"
        case bool():
            return "yes" if row.value else "no"
        case float():
            return f"{row.value:g}"
        case list():
            return "\n".join(map(_of_list, row.value))
    return str(row.value)


def _of_list(each: Any) -> str:
    if not isinstance(each, Mapping):
        return str(each)
    return " ".join(str(part) for part in each.values())
