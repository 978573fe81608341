"""A model card in Hugging Face's format: what a model was made from, how, and how well it does.

Front matter for tools, text for people. Nothing is made up: what only the owner can know (licence
of the result, intended use, limits) stands as a blank that says so. Torch-free.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import yaml

import modiste

NAME = "README.md"
LIBRARY = {
    "peft": "peft",
    "mistral": "mistral-common",
    "merged": "transformers",
    "merged-mistral": "mistral-common",
    "gguf": "gguf",
}
BLANK = "*Not stated: the owner of this model has to write this.*"


@dataclass(frozen=True)
class DataFile:
    """A file that was trained or validated on."""

    name: str
    sha256: str | None = None
    n_rows: int | None = None
    n_tokens: int | None = None
    weight: float | None = None
    role: str = "training"


@dataclass(frozen=True)
class Facts:
    """All that a card can say. What is None is not known and not said, or said to be missing."""

    name: str
    base: str
    license: str | None = None
    """An identifier such as `apache-2.0`."""
    base_license: str | None = None
    languages: tuple[str, ...] = ()
    description: str | None = None
    method: str | None = None
    objective: str | None = None
    created: str | None = None
    """When the model was made, UTC."""
    job: str | None = None
    spec: Mapping[str, Any] = field(default_factory=dict)
    data: tuple[DataFile, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Name to value, such as `validation loss`."""
    n_trained_tokens: int | None = None
    parity: str | None = None
    """What the parity certificate says."""
    stale: str | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def of_json(values: Mapping[str, Any]) -> Facts:
        known = {each.name for each in fields(Facts)}
        kept = {name: value for name, value in values.items() if name in known}
        kept["data"] = tuple(DataFile(**each) for each in kept.get("data", ()))
        kept["languages"] = tuple(kept.get("languages", ()))
        return Facts(**kept)


def text(facts: Facts, *, form: str | None = None, proof: str | None = None) -> str:
    """The whole README.md; `form` and `proof` are what an export knows."""
    parts = [
        f"---\n{yaml.safe_dump(front_matter(facts, form=form), sort_keys=False)}---",
        f"# {facts.name}",
        facts.description or f"{facts.base}, tuned with Modiste {modiste.__version__}.",
        _made(facts),
        _section("Data", _data(facts)),
        _section("Measured", _measured(facts)),
        _section("Served as trained", facts.parity or "No parity certificate is known."),
        _section("These files", _files(form, proof)) if form else "",
        f"## Stale\n\n{facts.stale}" if facts.stale else "",
        _section("Licence", _licence(facts)),
        _section("Intended use", BLANK),
        _section("Limits and risks", BLANK),
        _section("Every setting", _spec(facts)) if facts.spec else "",
    ]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def front_matter(facts: Facts, *, form: str | None = None) -> dict[str, Any]:
    values: dict[str, Any] = {
        "base_model": facts.base,
        "base_model_relation": "adapter" if form in (None, "peft", "mistral") else "finetune",
        "library_name": LIBRARY.get(form or "peft", "peft"),
        "pipeline_tag": "text-generation",
        "tags": ["modiste", *([facts.method] if facts.method else []), *([form] if form else [])],
    }
    if facts.license:
        values["license"] = facts.license
    if facts.languages:
        values["language"] = list(facts.languages)
    if facts.data:
        values["datasets"] = list(dict.fromkeys(each.name for each in facts.data))
    return values


def _section(title: str, body: str) -> str:
    return f"## {title}\n\n{body}"


def _made(facts: Facts) -> str:
    rows = {
        "base": facts.base,
        "method": facts.method,
        "objective": facts.objective,
        "trained tokens": f"{facts.n_trained_tokens:,}" if facts.n_trained_tokens else None,
        "made": facts.created,
        "job": facts.job,
    }
    known = [f"| {name} | {value} |" for name, value in rows.items() if value]
    return "\n".join(["| | |", "|---|---|", *known])


def _data(facts: Facts) -> str:
    if not facts.data:
        return "Not known: the files it was trained on are not recorded with these weights."
    rows = [
        f"| {each.name} | {each.role} | {_number(each.n_rows)} | {_number(each.n_tokens)} | "
        f"{'' if each.weight is None else f'{each.weight:g}'} | `{each.sha256 or 'unknown'}` |"
        for each in facts.data
    ]
    head = "| file | for | rows | tokens | weight | sha256 |\n|---|---|---|---|---|---|"
    return "\n".join([head, *rows])


def _measured(facts: Facts) -> str:
    if not facts.metrics:
        return "Nothing was measured on held-out data."
    rows = [f"| {name} | {value:.6g} |" for name, value in facts.metrics.items()]
    return "\n".join(["| measure | value |", "|---|---|", *rows])


def _files(form: str | None, proof: str | None) -> str:
    return f"Form `{form}`, {proof or 'not verified'}."


def _licence(facts: Facts) -> str:
    base = facts.base_license or "not stated in its files"
    own = facts.license or "not stated"
    return f"Licence of the base: {base}. Licence of this model: {own}."


def _spec(facts: Facts) -> str:
    return f"```yaml\n{yaml.safe_dump(dict(facts.spec), sort_keys=True)}```"


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"
