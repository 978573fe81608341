"""SQL that must return what the reference's SQL returns: `sql_match`.

Both queries run on SQLite databases in memory, in a child process that may only read (`sql_child`).
Rows come from the suite (`inserts`) or are made up, several times over with different seeds
(`sql_rows`); the answer is right where all databases give the same rows, in the same order only
where the reference has an ORDER BY, numbers to nine digits. A query that does not run or runs too
long is wrong; a reference that does not run is an error of the dataset.

Where the reference returns nothing on any database, returning nothing as well proves nothing: then
the texts must be equal but for case, white space and quotes, and the label is `text` instead of
`execution`. Pass rule: the value is 1.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from modiste.evaluate.items import Answer, Item, Models, Sample, Score, Status, scored, unscored
from modiste.evaluate.metric import Metric, figure, mean_metric, score_of
from modiste.evaluate.scorer import Scorer
from modiste.evaluate.scorers.references import as_text, no_reference
from modiste.evaluate.scorers.sandbox import ChildFailed, Sandbox
from modiste.evaluate.spec import Spec
from modiste.evaluate.template import Template

CHILD = Path(__file__).with_name("sql_child.py")
FENCED = re.compile(r"```[A-Za-z]*[ \t]*\n(.*?)```", re.DOTALL)
BEGINS = re.compile(r"(?im)^\s*(?:select|with)\b")
TEXTS = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"")


class SqlMatch(Scorer):
    def __init__(self, spec: SqlMatchSpec) -> None:
        super().__init__(spec.name, spec.config)
        self._spec = spec
        self._schema = Template(spec.tables, param=f"scorers.{spec.name}.schema")
        self._inserts = spec.inserts and Template(
            spec.inserts, param=f"scorers.{spec.name}.inserts"
        )
        self._sandbox = Sandbox(CHILD)

    async def score(self, item: Item, answer: Answer, models: Models) -> Score:
        if item.reference is None:
            return no_reference(item)
        said, right = statement(answer.text), statement(as_text(item.reference))
        if not said:
            return scored(False, reason="the answer holds no SQL", runs=False)
        request = {
            "schema": self._schema.render(item.row),
            "inserts": self._inserts.render(item.row) if self._inserts else None,
            "right": right,
            "said": said,
            "ordered": has_order(right),
            "seed": f"{self._spec.seed}:{item.key}",
            "fills": self._spec.fills,
            "limit_s": self._spec.limit_s,
        }
        return await self.aside.do(lambda: self._judged(request))

    def metrics(self, samples: Sequence[Sample]) -> tuple[Metric, ...]:
        """The share of right answers, and of those that run."""

        def runs(sample: Sample) -> float | None:
            score = score_of(self.name, sample)
            return None if score is None else float(score.detail["runs"])

        found = [score for score in (score_of(self.name, s) for s in samples) if score is not None]
        by_text = sum(score.label == "text" for score in found)
        notes = (
            (f"{by_text} references return nothing on any database; texts were compared there",)
            if by_text
            else ()
        )
        return (mean_metric(self, samples, notes=notes), figure(self, samples, runs, name="runs"))

    def close(self) -> None:
        super().close()
        self._sandbox.close()

    def _judged(self, request: dict[str, Any]) -> Score:
        """The child ends what takes too long by itself; where it cannot, it is killed, and whose
        fault that was is told by asking for the reference alone."""
        limit_s = 2 * self._spec.limit_s * self._spec.fills + 5
        try:
            told = self._sandbox.ask(request, limit_s=limit_s)
        except ChildFailed as failure:
            try:
                self._sandbox.ask({**request, "said": request["right"]}, limit_s=limit_s)
            except ChildFailed:
                return unscored(Status.ERROR, f"the reference does not run: {failure}")
            return scored(False, label="execution", reason=f"does not run: {failure}", runs=False)
        return _score(request, told)


def _score(request: dict[str, Any], told: dict[str, Any]) -> Score:
    failed = told.get("failed")
    if failed == "schema":
        return unscored(Status.ERROR, f"the tables cannot be made: {told['message']}")
    if failed == "right":
        status = Status.TIMEOUT if told.get("late") else Status.ERROR
        return unscored(status, f"the reference does not run: {told['message']}")
    if failed == "said":
        why = f"does not run: {told['message']}"
        return scored(False, label="execution", reason=why, runs=bool(told.get("late")))
    if told["telling"]:
        rows = {name: told[name] for name in ("right_rows", "said_rows") if name in told}
        why = "" if told["same"] else "returns other rows"
        return scored(
            told["same"], label="execution", reason=why, runs=True, fills=told["fills"], **rows
        )
    equal = as_written(request["right"]) == as_written(request["said"])
    why = "the reference returns nothing on any database; texts are " + (
        "equal" if equal else "not equal"
    )
    return scored(equal, label="text", reason=why, runs=True)


def statement(text: str) -> str:
    """The first SQL statement of an answer: out of a Markdown fence, or from the first line that
    begins with SELECT or WITH."""
    fence = FENCED.search(text)
    inner = fence[1] if fence else text
    begins = BEGINS.search(inner)
    inner = inner[begins.start() :] if begins else inner
    for at, character in enumerate(inner):
        if character == ";" and sqlite3.complete_statement(inner[: at + 1]):
            return inner[:at].strip()
    return inner.strip()


def has_order(query: str) -> bool:
    """An ORDER BY of the whole query, not of one within parentheses."""
    bare, depth, outer = TEXTS.sub("''", query), 0, []
    for character in bare:
        depth += (character == "(") - (character == ")")
        outer.append(character if depth == 0 else " ")
    return re.search(r"\border\s+by\b", "".join(outer), re.IGNORECASE) is not None


def as_written(query: str) -> str:
    """Texts in single quotes as they are; the rest without case and white space."""
    parts: list[str] = []
    at = 0
    for literal in TEXTS.finditer(query):
        parts.append(re.sub(r"\s+", "", query[at : literal.start()]).casefold())
        parts.append("'" + literal[0][1:-1] + "'")
        at = literal.end()
    return "".join([*parts, re.sub(r"\s+", "", query[at:]).casefold()])


class SqlMatchSpec(Spec):
    kind: Literal["sql_match"] = "sql_match"
    name: str = "sql_match"
    tables: str = Field(default="{{context}}", alias="schema")
    """Template of the CREATE TABLE statements."""
    inserts: str | None = None
    """Template of INSERT statements; without, rows are made up."""
    fills: int = Field(default=5, ge=1, le=50)
    """Databases of made-up rows that must all agree."""
    seed: int = 0
    limit_s: float = Field(default=2.0, gt=0, le=60)
    """For one query on one database."""

    def build(self) -> SqlMatch:
        return SqlMatch(self)
