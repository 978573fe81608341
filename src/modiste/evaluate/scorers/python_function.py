"""A scoring function of the user's own: `python`.

    def score(item, answer):
        return 1.0 if answer["text"].strip() == item["reference"] else 0.0

`item` has `key`, `row`, `reference`, `cluster`, `slices`; `answer` has `text`, `calls` (name and
arguments as JSON text), `finish`, `prompt_tokens`, `completion_tokens`. It returns a number on the
scale, or `{"value": …, "label": …, "reason": …}` with whatever else a report should show; a value
of None is skipped, with the reason. An exception is an error that names line and message, never a
zero.

The function runs in a child process without our environment, with limits of time, memory and files.
On Linux with user namespaces it has no network, and with Landlock (Linux 5.13) it can read Python's
own folders only; where either is missing the first metric says so. It is not a prison for code that
means harm: let people whom you would let onto the machine write scorers. Pass rule: the suite's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from modiste.evaluate.items import Answer, Item, Models, Sample, Score, Status, unscored
from modiste.evaluate.metric import Metric, mean_metric
from modiste.evaluate.scorer import Scorer
from modiste.evaluate.scorers.sandbox import ChildFailed, Sandbox
from modiste.evaluate.spec import Spec

CHILD = Path(__file__).with_name("python_child.py")
FIRST_S = 20.0
"""Added to the limit: starting Python and what the source imports."""


class PythonFailed(Exception):
    """The function raised, returned what is no score, or was stopped."""

    def __init__(self, message: str, status: Status = Status.ERROR) -> None:
        super().__init__(message)
        self.status = status


class PythonChild:
    """One source in one child, asked again and again."""

    def __init__(self, source: str, function: str, *, limit_s: float) -> None:
        self._source, self._function, self._limit_s = source, function, limit_s
        self._sandbox = Sandbox(CHILD)
        self._warm = False
        self.guards: Mapping[str, str] = {}

    def call(self, *arguments: Any) -> Any:
        """
        Raises:
            PythonFailed: with line and message, or that it was stopped.
        """
        request = {
            "source": self._source,
            "function": self._function,
            "arguments": arguments,
            "limit_s": self._limit_s + FIRST_S,
        }
        limit_s = self._limit_s + (0.0 if self._warm else FIRST_S)
        try:
            told = self._sandbox.ask(request, limit_s=limit_s)
        except ChildFailed as failure:
            self._warm = False
            status = Status.TIMEOUT if failure.timed_out else Status.ERROR
            raise PythonFailed(f"{self._function}: {failure}", status) from None
        self._warm, self.guards = True, told["guards"]
        if "error" in told:
            raise PythonFailed(f"{self._function}: {told['error']}")
        return told["value"]

    def close(self) -> None:
        self._sandbox.close()


class PythonFunction(Scorer):
    def __init__(self, spec: PythonSpec) -> None:
        super().__init__(spec.name, spec.config)
        self.higher_is_better, self.scale, self.unit = spec.higher_is_better, spec.scale, spec.unit
        self._child = PythonChild(spec.source, spec.function, limit_s=spec.limit_s)

    async def score(self, item: Item, answer: Answer, models: Models) -> Score:
        try:
            asked = item_of(item), answer_of(answer)
            return self._score(await self.aside.do(lambda: self._child.call(*asked)))
        except PythonFailed as failure:
            return unscored(failure.status, str(failure))

    def metrics(self, samples: Sequence[Sample]) -> tuple[Metric, ...]:
        missing = {
            "network": "hook",
            "files": "none",
        }
        lacking = [name for name, weak in missing.items() if self._child.guards.get(name) == weak]
        notes = (
            (f"this machine's kernel does not keep scorers from {' and '.join(lacking)}",)
            if lacking
            else ()
        )
        return (mean_metric(self, samples, notes=notes),)

    def close(self) -> None:
        super().close()
        self._child.close()

    def _score(self, returned: Any) -> Score:
        more = dict(returned) if isinstance(returned, Mapping) else {"value": returned}
        value, label = more.pop("value", None), more.pop("label", None)
        reason = str(more.pop("reason", ""))
        if value is None and isinstance(returned, Mapping):
            return unscored(Status.SKIPPED, reason or "it returned no value", **more)
        if not isinstance(value, (int, float)) or not math.isfinite(value):
            return unscored(Status.ERROR, f"it returned {str(returned)[:80]!r}, expected a number")
        if self.scale is not None and not self.scale[0] <= value <= self.scale[1]:
            said = f"it returned {value:g}, off the scale {self.scale[0]:g} to {self.scale[1]:g}"
            return unscored(Status.ERROR, said)
        shown = None if label is None else str(label)
        return Score(Status.SCORED, float(value), shown, reason, more)


def item_of(item: Item) -> dict[str, Any]:
    return {
        "key": item.key,
        "row": dict(item.row),
        "reference": item.reference,
        "cluster": item.cluster,
        "slices": dict(item.slices),
    }


def answer_of(answer: Answer) -> dict[str, Any]:
    return {
        "text": answer.text,
        "calls": [{"name": call.name, "arguments": call.arguments} for call in answer.calls],
        "finish": answer.finish,
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
    }


class PythonSpec(Spec):
    kind: Literal["python"] = "python"
    name: str = "python"
    source: str = Field(min_length=1)
    """The code itself. A suite's file may name a file instead, as `path`, relative to itself."""
    function: str = Field(default="score", pattern=r"^[A-Za-z_]\w*$")
    scale: tuple[float, float] | None = (0.0, 1.0)
    """Where values lie; null is without bounds."""
    unit: str = "share"
    higher_is_better: bool = True
    limit_s: float = Field(default=30.0, gt=0, le=300)
    """For one answer."""

    def model_post_init(self, context: object) -> None:
        try:
            compile(self.source, "<scorer>", "exec")
        except SyntaxError as error:
            raise ValueError(f"source line {error.lineno}: {error.msg}") from None
        if self.scale is not None and not self.scale[0] < self.scale[1]:
            raise ValueError(f"scale is {list(self.scale)}, expected the lower end first")

    @property
    def runs_code(self) -> bool:
        return True

    def build(self) -> PythonFunction:
        return PythonFunction(self)
