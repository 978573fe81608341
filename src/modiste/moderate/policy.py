"""A policy: which categories are looked for where, by whom, and what happens then. YAML.

A category is one of a taxonomy (`selfharm`, where the policy names the taxonomy) or one of the
policy's own, with a definition and examples. Detectors give scores; a category is violated at its
threshold. Every category has a detector, everything that is wrong with a policy is said at once,
and nothing is decided by what a policy leaves open: a detector that fails, or speaks of what nobody
knows, follows its `on_error`, which is `closed` unless it says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, Self

from pydantic import Field, model_validator

from modiste.errors import NotFound
from modiste.moderate.detectors import Detector, DetectorSpec, Guard, Part, Style
from modiste.moderate.taxonomy import Category, equivalents, taxonomy
from modiste.moderate.taxonomy import category as known_category
from modiste.prepare.checked import checked, checked_yaml, line_of, refused
from modiste.prepare.yaml_file import lines_in
from modiste.types import Problem

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
LEAST_EXAMPLES = 5
"""Of each kind; with fewer a category of one's own is a draft, which `remarks` says."""


class Place(StrEnum):
    """Where a text stands in a request."""

    INPUT = "input"
    """What people and the application say: user and system messages, begun answers."""
    RETRIEVED = "retrieved"
    """What tools and searches brought in."""
    TOOL_ARGUMENTS = "tool_arguments"
    """What the model hands to tools."""
    OUTPUT = "output"


class Action(StrEnum):
    """In the order of their strength."""

    FLAG = "flag"
    """Told with the answer, and nothing else."""
    REDACT = "redact"
    """What was found is replaced by its category's name in brackets."""
    REWRITE = "rewrite"
    """The text is replaced by the category's `template`."""
    SAFE_COMPLETION = "safe_completion"
    """The model answers again, under the category's `instruction`."""
    BLOCK = "block"

    @property
    def strength(self) -> int:
        return list(Action).index(self)


class CategorySpec(Part):
    code: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._/:-]{0,99}$")
    """Of the policy's taxonomy, of another as `llama-guard/3:S5`, or a name of one's own."""
    title: str | None = None
    definition: str | None = None
    """Required for a category of one's own."""
    violates: tuple[str, ...] = ()
    """Texts that do."""
    allowed: tuple[str, ...] = ()
    """Texts that come near and do not."""
    severity: int = Field(default=2, ge=1, le=4)
    threshold: float = Field(default=0.5, gt=0, le=1)
    action: Action = Action.BLOCK
    applies_to: tuple[Place, ...] = Field(default=(Place.INPUT, Place.OUTPUT), min_length=1)
    template: str | None = None
    """Of `rewrite`; `{{category}}` is the title, `{{text}}` what was written."""
    instruction: str | None = None
    """Of `safe_completion`: what the model is told before it answers again."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.action is Action.REWRITE) != (self.template is not None):
            raise ValueError("template goes with action rewrite, and with no other")
        if self.instruction is not None and self.action is not Action.SAFE_COMPLETION:
            raise ValueError("instruction goes with action safe_completion, and with no other")
        if len(set(self.applies_to)) < len(self.applies_to):
            raise ValueError("applies_to names a place twice")
        return self


class Policy(Part):
    name: str = Field(pattern=NAME)
    description: str = ""
    taxonomy: str | None = None
    """Whose codes need no prefix here, such as `mistral-moderation/2603`."""
    categories: tuple[CategorySpec, ...] = Field(min_length=1)
    detectors: tuple[DetectorSpec, ...] = Field(min_length=1)
    block_message: str = "Content blocked by guardrail"
    """What callers are told of a request or an answer that was blocked."""

    def category(self, code: str) -> CategorySpec:
        """
        Raises:
            KeyError: it has none of this code.
        """
        return self._by_code()[code]

    def has(self, code: str) -> bool:
        return code in self._by_code()

    def title(self, code: str) -> str:
        spec = self._by_code().get(code)
        if spec is None:
            return code
        known = _known(self, spec)
        return spec.title or (known.title if known else code)

    def definition(self, code: str) -> str:
        """What it is about, in the policy's words or else in the taxonomy's."""
        spec = self.category(code)
        known = _known(self, spec)
        return spec.definition or (known.definition if known else "")

    def not_looked_for(self) -> tuple[str, ...]:
        """Codes of its taxonomy that are no category here, so that nothing is said about them."""
        known = taxonomy(self.taxonomy).categories if self.taxonomy else ()
        return tuple(code for code in known if not self.has(code))

    def places(self) -> frozenset[Place]:
        return frozenset(place for each in self.categories for place in each.applies_to)

    def at(self, place: Place) -> tuple[CategorySpec, ...]:
        return tuple(each for each in self.categories if place in each.applies_to)

    def known(self, code: str) -> Category | None:
        """What the code is in its taxonomy; None for a category of the policy's own."""
        return _known(self, self.category(code))

    def _by_code(self) -> dict[str, CategorySpec]:
        return {each.code: each for each in self.categories}


def read(text: str, *, file: str) -> Policy:
    """A policy file.

    Raises:
        InvalidInput: everything that is wrong with it, with line and value.
    """
    return whole(checked_yaml(Policy, text, file=file), file=file, lines=lines_in(text))


def from_json(value: Any, *, file: str) -> Policy:
    """A policy that came as fields.

    Raises:
        InvalidInput: everything that is wrong with it.
    """
    return whole(checked(Policy, value, file=file), file=file, lines={})


def whole(policy: Policy, *, file: str, lines: Mapping[str, int]) -> Policy:
    """The policy, if its parts fit each other.

    Raises:
        InvalidInput: everything that does not.
    """
    if problems := list(_problems(policy, file, lines)):
        raise refused(problems, file=file)
    return policy


def remarks(policy: Policy) -> tuple[str, ...]:
    """What is allowed and wants a look: examples are few, places that no detector reads."""
    found = []
    for each in policy.categories:
        own = _known(policy, each) is None
        few = min(len(each.violates), len(each.allowed))
        if own and few < LEAST_EXAMPLES:
            found.append(
                f"{each.code} is a category of your own with {len(each.violates)} texts that "
                f"violate it and {len(each.allowed)} near misses; {LEAST_EXAMPLES} of each make it "
                "testable"
            )
    return tuple(found)


class _Wrong:
    def __init__(self, file: str, lines: Mapping[str, int]) -> None:
        self._file, self._lines = file, lines

    def at(self, path: str, code: str, said: str, value: object) -> Problem:
        shown = repr(value)[:80]
        line = line_of(path, self._lines)
        return Problem(self._file, line, path, code, f"{said}, got {shown}", value=shown)


def _problems(policy: Policy, file: str, lines: Mapping[str, int]) -> Iterator[Problem]:
    wrong = _Wrong(file, lines)
    if policy.taxonomy is not None:
        try:
            taxonomy(policy.taxonomy)
        except NotFound as error:
            yield wrong.at("taxonomy", "taxonomy_unknown", error.message, policy.taxonomy)
            return
    yield from _twice(wrong, "categories", "code", [each.code for each in policy.categories])
    yield from _twice(wrong, "detectors", "name", [each.name for each in policy.detectors])
    for at, each in enumerate(policy.categories):
        yield from _category_problems(policy, each, f"categories.{at}", wrong)
    for at, detector in enumerate(policy.detectors):
        yield from _without_code(policy, detector, f"detectors.{at}.categories", wrong)
        for told, code in detector.scores().items():
            if not policy.has(code):
                yield wrong.at(
                    f"detectors.{at}",
                    "category_unknown",
                    f"{detector.name} scores {told!r} as {code!r}, and the policy has no such "
                    f"category; it has {', '.join(each.code for each in policy.categories)}",
                    code,
                )


def _category_problems(
    policy: Policy, spec: CategorySpec, path: str, wrong: _Wrong
) -> Iterator[Problem]:
    try:
        known = _named(policy, spec)
    except NotFound as error:
        yield wrong.at(
            f"{path}.code",
            "category_unknown",
            f"{error.message}; a category of your own has a definition",
            spec.code,
        )
        return
    if known is None and not spec.definition:
        yield wrong.at(
            f"{path}.code",
            "definition_missing",
            "a category of your own has a definition",
            spec.code,
        )
    scoring = [each for each in policy.detectors if spec.code in each.codes(policy)]
    if not scoring:
        yield wrong.at(
            f"{path}.code", "detector_missing", "no detector scores this category", spec.code
        )
    elif spec.action is Action.REDACT and not all(each.says_where for each in scoring):
        blind = next(each.name for each in scoring if not each.says_where)
        yield wrong.at(
            f"{path}.action",
            "cannot_redact",
            f"{blind} says how much and not where, so nothing can be redacted; use rewrite, or "
            "rules alone",
            spec.action.value,
        )
    if spec.action is Action.SAFE_COMPLETION and Place.TOOL_ARGUMENTS in spec.applies_to:
        yield wrong.at(
            f"{path}.applies_to",
            "cannot_complete",
            "arguments of tools are blocked, redacted or rewritten; there is no safe completion of "
            "them",
            spec.action.value,
        )


def _without_code(
    policy: Policy, detector: Detector, path: str, wrong: _Wrong
) -> Iterator[Problem]:
    """Categories that a guard's own prompt says nothing of."""
    if not isinstance(detector, Guard) or detector.style is not Style.LLAMA_GUARD_TEMPLATE:
        return
    version = f"llama-guard/{detector.version}"
    for code in detector.categories:
        known = _known(policy, policy.category(code)) if policy.has(code) else None
        if policy.has(code) and (known is None or not equivalents(known.code, version)):
            said = f"{version} has no code for {code}; ask about it in style yes_no"
            yield wrong.at(path, "no_code", said, code)


def _named(policy: Policy, spec: CategorySpec) -> Category | None:
    """
    Raises:
        NotFound: it looks like a code and is none, and has no definition of its own.
    """
    if ":" in spec.code:
        return known_category(spec.code)
    if policy.taxonomy is None:
        return None
    if spec.code in taxonomy(policy.taxonomy).categories:
        return known_category(spec.code, within=policy.taxonomy)
    if spec.definition:
        return None
    return known_category(spec.code, within=policy.taxonomy)


def _known(policy: Policy, spec: CategorySpec) -> Category | None:
    try:
        return _named(policy, spec)
    except NotFound:
        return None


def _twice(wrong: _Wrong, path: str, field: str, names: list[str]) -> Iterator[Problem]:
    for at, name in enumerate(names):
        if name in names[:at]:
            yield wrong.at(f"{path}.{at}.{field}", "twice", f"{field} is there twice", name)
