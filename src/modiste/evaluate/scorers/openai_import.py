"""OpenAI's graders and evals become entries of our suites, with a remark on all that differs.

OpenAI's hosted evals close at the end of November 2026; what people wrote there goes on here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modiste.errors import InvalidInput
from modiste.evaluate.scorers.openai_grader import OpenAISpec
from modiste.prepare.checked import checked

KEPT_APART = ("id", "created_at", "object", "metadata", "share_with_openai")


@dataclass(frozen=True)
class Imported:
    """What became of a document."""

    entries: tuple[dict[str, Any], ...]
    """For `scorers:`."""
    messages: tuple[dict[str, str], ...] = ()
    """For `messages:`, where a run was given."""
    model: str | None = None
    file_id: str | None = None
    """OpenAI's id of the run's rows, to be downloaded there."""
    item_schema: Mapping[str, Any] | None = None
    """What rows hold, as the eval says it."""
    remarks: tuple[str, ...] = ()


def from_openai(document: Any, *, run: Mapping[str, Any] | None = None) -> Imported:
    """
    Args:
        document: a grader, a list of graders, or a whole eval with `testing_criteria`.
        run: an eval's run, whose `data_source` says how models were asked.

    Raises:
        InvalidInput: everything in it that is no grader of ours, at once.
    """
    if isinstance(document, Mapping) and "testing_criteria" in document:
        graders, source = document["testing_criteria"], document.get("data_source_config") or {}
    else:
        several = isinstance(document, Sequence) and not isinstance(document, str)
        graders = document if several else [document]
        source = {}
    entries, problems = _entries(graders)
    if problems:
        raise InvalidInput("; ".join(problems), param="testing_criteria")
    asked = _asked(run or {})
    schema = source.get("item_schema") or source.get("schema")
    return Imported(
        entries=tuple(entries),
        item_schema=schema,
        remarks=tuple(_remarks(entries, source)),
        **asked,
    )


def _entries(graders: Any) -> tuple[list[dict[str, Any]], list[str]]:
    if not isinstance(graders, Sequence) or isinstance(graders, str) or not graders:
        return [], ["testing_criteria is no list of graders"]
    entries: list[dict[str, Any]] = []
    problems: list[str] = []
    for at, grader in enumerate(graders):
        if not isinstance(grader, Mapping):
            problems.append(f"testing_criteria[{at}] is {type(grader).__name__}, no grader")
            continue
        inner = {key: value for key, value in grader.items() if key not in KEPT_APART}
        name = _name(str(grader.get("name") or grader.get("type")), [e["name"] for e in entries])
        entry = {"kind": "openai", "name": name, "grader": inner}
        try:
            checked(OpenAISpec, entry, file=f"testing_criteria[{at}]")
        except InvalidInput as error:
            problems.append(error.message)
        entries.append(entry)
    return entries, problems


def _name(wanted: str, taken: Sequence[str]) -> str:
    """Theirs in our letters, once."""
    base = re.sub(r"[^A-Za-z0-9_-]+", "_", wanted).strip("_-")[:56] or "grader"
    name, count = base, 1
    while name in taken:
        count += 1
        name = f"{base}_{count}"
    return name


def _asked(run: Mapping[str, Any]) -> dict[str, Any]:
    """How a run asked its model: messages, model and file."""
    source = run.get("data_source") or {}
    template = (source.get("input_messages") or {}).get("template") or []
    messages = []
    for at, message in enumerate(template):
        content = message.get("content")
        if isinstance(content, Mapping):
            content = content.get("text")
        if not isinstance(content, str):
            raise InvalidInput(
                f"data_source.input_messages.template[{at}].content is no text",
                param="data_source",
            )
        role = "system" if message.get("role") == "developer" else str(message.get("role"))
        messages.append({"role": role, "content": content})
    rows = source.get("source") or {}
    return {
        "messages": tuple(messages),
        "model": source.get("model") or run.get("model"),
        "file_id": rows.get("id") if rows.get("type") == "file_id" else None,
    }


def _remarks(entries: Sequence[Mapping[str, Any]], source: Mapping[str, Any]) -> list[str]:
    found = []
    kinds = {entry["grader"]["type"] for entry in entries}
    if source.get("type") in ("logs", "stored_completions"):
        found.append("rows were OpenAI's stored completions; export them and name the file")
    if "python" in kinds:
        found.append("python graders run under this machine's Python, without OpenAI's image")
    if kinds & {"label_model", "score_model"}:
        found.append(
            "grading models are asked at this endpoint: register them (`modiste models add`) or"
            " name others"
        )
    return found
