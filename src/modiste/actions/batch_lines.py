"""The lines of a batch: which endpoints they may go to, what is wrong with them, one after another.

A line is `{"custom_id", "body"}` as Mistral writes it, or with `method` and `url` as OpenAI does,
who insists on all four. All problems of all lines are found before the first request runs, and a
line with a problem stops the batch. What an endpoint thinks of a body it tells when the line runs.
Lines are never all in memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from modiste.prepare.sources.jsonl import RawLine, parse_json, read_rows
from modiste.types import Problem

ENDPOINTS = (
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/fim/completions",
    "/v1/embeddings",
    "/v1/moderations",
    "/v1/chat/moderations",
    "/v1/classifications",
    "/v1/chat/classifications",
)
"""Where lines may go. Each is a route of the app under every mount, and reads `model` in a body."""
MAX_REQUESTS = 100_000
MAX_CUSTOM_ID = 512
MAX_TOLD = 1000
"""Problems told one by one; the rest is counted."""
FIELDS = ("custom_id", "method", "url", "body")


class Input(NamedTuple):
    """One file of lines."""

    name: str
    path: Path


class Found(NamedTuple):
    """One line, read but not yet trusted."""

    n: int
    """Its place among all requests of the batch, from 0: results come in this order."""
    file: str
    raw: RawLine


class Ask(NamedTuple):
    """A line that may run."""

    n: int
    custom_id: str
    body: dict[str, Any]


class Checked(NamedTuple):
    n_requests: int
    problems: tuple[Problem, ...]
    n_problems: int
    """More than `problems` where those are too many to be told."""


def found_in(inputs: Iterable[Input]) -> Iterator[Found]:
    """Every line that is not blank, in order."""
    n = 0
    for name, path in inputs:
        with path.open("rb") as stream:
            for raw in read_rows(stream, file=name):
                if raw.problem is not None or raw.text.strip():
                    yield Found(n, name, raw)
                    n += 1


def ask_of(found: Found, *, model: str | None) -> Ask:
    """A line of inputs that were checked."""
    return _ask(found.n, parse_json(found.raw, file=found.file).value, model)


def check(
    lines: Iterable[Found],
    *,
    endpoint: str,
    strict: bool,
    model: str | None,
    why_not: Callable[[str], str | None],
) -> Checked:
    """Read all lines to the end.

    Args:
        strict: `custom_id`, `method` and `url` are needed, as OpenAI needs them.
        model: of the batch; without one each body names its own.
        why_not: why a model cannot be asked, None where it can.
    """
    checker = _Checker(endpoint, strict, model, why_not)
    for line in lines:
        checker.look(line)
        if line.n >= MAX_REQUESTS:
            break
    return checker.result()


class _Checker:
    """What must be remembered from line to line."""

    def __init__(
        self, endpoint: str, strict: bool, model: str | None, why_not: Callable[[str], str | None]
    ) -> None:
        self._endpoint, self._strict, self._model = endpoint, strict, model
        self._why_not = why_not
        self._models: dict[str, str | None] = {}
        self._seen: dict[bytes, int] = {}
        """Digest of a custom_id to its place: names may be long, and there are many."""
        self._n_requests = 0
        self._n_problems = 0
        self._problems: list[Problem] = []

    def look(self, found: Found) -> None:
        self._n_requests = found.n + 1
        if found.n >= MAX_REQUESTS:
            said = f"a batch has at most {MAX_REQUESTS:,} requests; split the file"
            self._say(found, "", "too_many_requests", said)
            return
        value, problem = parse_json(found.raw, file=found.file)
        if problem is not None:
            self._add(problem)
        elif not isinstance(value, dict):
            self._say(found, "", "not_an_object", f"is {_shown(value)}, expected a JSON object")
        else:
            self._fields(found, value)

    def result(self) -> Checked:
        if self._n_requests == 0:
            self._add(Problem("input", None, "", "empty_batch", "there is no request in it"))
        return Checked(self._n_requests, tuple(self._problems), self._n_problems)

    def _fields(self, found: Found, value: Mapping[str, Any]) -> None:
        for name in value:
            if name not in FIELDS:
                said = f"{name!r:.80} is no field of a line: it has {', '.join(FIELDS)}"
                self._say(found, name, "unknown_field", said)
        self._custom_id(found, value.get("custom_id"))
        self._fixed(found, value, "method", "POST")
        self._fixed(found, value, "url", self._endpoint)
        body = value.get("body")
        if not isinstance(body, dict):
            said = f"body is {_shown(body)}, expected the JSON object to send to {self._endpoint}"
            self._say(found, "body", "body_invalid", said)
            return
        if body.get("stream"):
            said = "body.stream is true: the requests of a batch are answered whole; leave it out"
            self._say(found, "body.stream", "stream_not_allowed", said)
        self._named(found, body.get("model"))

    def _custom_id(self, found: Found, custom_id: Any) -> None:
        if custom_id is None and not self._strict:
            custom_id = str(found.n)
        if not isinstance(custom_id, str) or not 1 <= len(custom_id) <= MAX_CUSTOM_ID:
            said = f"custom_id is {_shown(custom_id)}, expected a text up to {MAX_CUSTOM_ID} long"
            self._say(found, "custom_id", "custom_id_invalid", said, custom_id)
            return
        digest = hashlib.blake2b(custom_id.encode("utf-8", "replace"), digest_size=12).digest()
        first = self._seen.setdefault(digest, found.n)
        if first != found.n:
            said = f"custom_id {custom_id!r:.80} is also that of request {first + 1}"
            self._say(found, "custom_id", "duplicate_custom_id", said, custom_id)

    def _fixed(self, found: Found, value: Mapping[str, Any], name: str, wanted: str) -> None:
        given = value.get(name)
        if given != wanted and (given is not None or self._strict):
            said = f"{name} is {_shown(given)}, expected {wanted!r}"
            self._say(found, name, f"invalid_{name}", said, given)

    def _named(self, found: Found, model: Any) -> None:
        if model is None and self._model is not None:
            return
        if not isinstance(model, str) or not model:
            said = f"body.model is {_shown(model)}, expected the name of a model"
            self._say(found, "body.model", "model_invalid", said, model)
            return
        if self._model is not None and model != self._model:
            said = (
                f"body.model is {model!r:.80}, and that of the batch {self._model!r:.80}; keep one"
            )
            self._say(found, "body.model", "model_mismatch", said, model)
            return
        if model not in self._models:
            self._models[model] = self._why_not(model)
        if reason := self._models[model]:
            self._say(found, "body.model", "model_not_found", reason, model)

    def _say(self, found: Found, path: str, code: str, message: str, value: Any = None) -> None:
        shown = None if value is None else str(value)[:200]
        self._add(Problem(found.file, found.raw.line, path, code, message, shown))

    def _add(self, problem: Problem) -> None:
        self._n_problems += 1
        if len(self._problems) < MAX_TOLD:
            self._problems.append(problem)


def _ask(n: int, value: Mapping[str, Any], model: str | None) -> Ask:
    body = dict(value["body"])
    if body.get("model") is None:
        body["model"] = model
    custom_id = value.get("custom_id")
    return Ask(n, str(n) if custom_id is None else custom_id, body)


def _shown(value: Any) -> str:
    if value is None:
        return "not there"
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return f"{value!r:.80}"
