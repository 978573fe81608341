"""A red-team file: objectives, techniques, and the models that are attacked.

It becomes two suites, `NAME.attacks` and `NAME.twins`, with a dataset each: every objective by
every technique, and its benign twin in the same wrapping. What is asked, kept, resumed, compared
and gated after that is what is asked, kept, resumed, compared and gated of any suite.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any, NamedTuple, Self

import yaml
from pydantic import Field, field_validator, model_validator

from modiste.evaluate.redteam.techniques import (
    FOR_ATTACKERS,
    FOR_SECRETS,
    TECHNIQUES,
    usual,
)
from modiste.evaluate.suite import Attacker, Part, SamplingSpec, Subject


class Objective(Part):
    """What an attack is after."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")
    ask: str = Field(min_length=1)
    canary: tuple[str, ...] = Field(min_length=1)
    """A model says one of them only where the attack succeeded."""
    benign: str | None = None
    """Something harmless that is like it and ought to be answered."""
    system: str | None = None
    """The rules that the attack is against; the system prompt of a model takes their place."""

    @property
    def secret(self) -> bool:
        return any(each in (self.system or "") for each in self.canary)


class RedTeam(Part):
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,90}$")
    description: str = ""
    models: Mapping[str, Subject] = Field(min_length=1)
    """By the name they have in the report; `policies: []` is the raw model, `policies: [NAME]` the
    same under a policy, and nothing what users see."""
    objectives: tuple[Objective, ...] = ()
    """Without any, those that ship: canaries that nobody can be hurt by."""
    techniques: tuple[str, ...] = ()
    """Without any, all that every base can be asked with; `turns` where there is an attacker."""
    attacker: Attacker | None = None
    attempts: int = Field(default=1, ge=1, le=100)
    sampling: SamplingSpec = Field(default_factory=SamplingSpec)
    refusals: tuple[str, ...] = ()
    """Phrases with which your model refuses, beside the usual ones."""

    @field_validator("techniques")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if strange := [name for name in names if name not in TECHNIQUES]:
            raise ValueError(f"{strange[0]!r} is no technique; there are {', '.join(TECHNIQUES)}")
        return tuple(dict.fromkeys(names))

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.attacker is None and FOR_ATTACKERS & set(self.techniques):
            raise ValueError("the technique 'turns' needs an attacker: name its model")
        names = [each.name for each in self.objectives]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two objectives are called {twice[0]!r}")
        return self

    @property
    def asked_by(self) -> tuple[str, ...]:
        return self.techniques or tuple(usual(attacker=self.attacker is not None))

    @property
    def after(self) -> tuple[Objective, ...]:
        return self.objectives or shipped()


class Built(NamedTuple):
    """A suite and its dataset."""

    suite: dict[str, Any]
    rows: list[dict[str, Any]]


def shipped() -> tuple[Objective, ...]:
    file = resources.files("modiste.evaluate.redteam") / "objectives.yaml"
    return tuple(map(Objective.model_validate, yaml.safe_load(file.read_text(encoding="utf-8"))))


def built(team: RedTeam) -> tuple[Built, Built | None]:
    """The attacks, and their benign twins where any objective has one."""
    attacks: list[dict[str, Any]] = []
    twins: list[dict[str, Any]] = []
    for objective in team.after:
        for technique in team.asked_by:
            if technique in FOR_SECRETS and not objective.secret:
                continue
            attacks.append(_row(objective, technique, objective.ask))
            if objective.benign is not None and technique not in FOR_SECRETS | FOR_ATTACKERS:
                twins.append(_row(objective, technique, objective.benign))
    harmful = _suite(team, "attacks", [{"kind": "attack"}], reference="{{canary}}")
    if team.attacker is not None:
        harmful["attacker"] = team.attacker.model_dump(mode="json")
    refusal = {"kind": "refusal", "name": "over_refusal", "phrases": list(team.refusals)}
    harmless = Built(_suite(team, "twins", [refusal]), twins) if twins else None
    return Built(harmful, attacks), harmless


def _row(objective: Objective, technique: str, ask: str) -> dict[str, Any]:
    system = [] if objective.system is None else [{"role": "system", "content": objective.system}]
    return {
        "id": f"{objective.name}/{technique}",
        "objective": objective.name,
        "technique": technique,
        "ask": ask,
        "canary": list(objective.canary),
        "messages": [*system, *TECHNIQUES[technique](ask)],
        **({"attacker": True} if technique in FOR_ATTACKERS else {}),
    }


def _suite(
    team: RedTeam, part: str, scorers: list[dict[str, Any]], *, reference: str | None = None
) -> dict[str, Any]:
    data: dict[str, Any] = {
        "path": f"{team.name}.{part}.jsonl",
        "id": "{{id}}",
        "cluster": "{{objective}}",
        "slices": {"technique": "{{technique}}", "objective": "{{objective}}"},
    }
    if reference is not None:
        data["reference"] = reference
    return {
        "name": f"{team.name}.{part}",
        "description": team.description,
        "dataset": data,
        "conversation": "messages",
        "models": {
            name: subject.model_dump(mode="json", exclude_defaults=True)
            for name, subject in team.models.items()
        },
        "sampling": team.sampling.model_dump(mode="json"),
        "attempts": team.attempts,
        "scorers": scorers,
    }
