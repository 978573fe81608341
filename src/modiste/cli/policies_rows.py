"""`modiste policies test`: a policy on labelled rows, its figures with their intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from modiste import settings
from modiste.cli.output import AsJson, print_json, print_table, say
from modiste.client import Client, connect
from modiste.errors import InvalidInput
from modiste.types import Problem

if TYPE_CHECKING:
    from modiste.moderate.policy import Policy

BATCH = 64
PLACES = ("input", "retrieved", "tool_arguments", "output")
FIGURES = ("precision", "recall", "over_refusal")


class Labelled(NamedTuple):
    content: Any
    """A text, or messages."""
    chat: bool
    place: str | None
    labels: Any


def measure(
    policy: Annotated[str, typer.Argument(help="Its name, NAME@VERSION, or its file.")],
    rows: Annotated[Path, typer.Argument(help="JSON lines: text or messages, and labels.")],
    as_json: AsJson = False,
) -> None:
    """Run a policy on labelled rows: precision, recall and over-refusal, with 95 % intervals.

    `labels` lists the categories that a row violates (none: []), or says of each true or false.
    """
    from modiste.moderate.tally import Row, tally

    file = Path(policy)
    tried = policy_in(file).model_dump(mode="json", by_alias=True) if file.is_file() else None
    with connect(settings.load()) as client:
        said = tried or client.get(_path(policy), version=_version(policy))["policy"]
        codes = [each["code"] for each in said["categories"]]
        labelled = read(rows, codes)
        asked = {"policy": tried} if tried else {"model": policy}
        results = list(_asked(client, asked, labelled))
    pairs = zip(labelled, results, strict=True)
    counts = tally(codes, (Row(each.labels, one) for each, one in pairs))
    told = {
        code: {**each._asdict(), **{name: _share(*getattr(each, name)) for name in FIGURES}}
        for code, each in counts.items()
    }
    if as_json:
        print_json({"policy": policy, "n_rows": len(labelled), "categories": told})
        return
    print_table(
        ["category", "violating", "fine", "precision", "recall", "over-refusal", "unscored"],
        [
            (
                code,
                each["found"] + each["missed"],
                each["over"] + each["passed"],
                *(_shown(each[name]) for name in FIGURES),
                each["unscored"] or None,
            )
            for code, each in told.items()
        ],
        empty="",
        numbers=("violating", "fine", "unscored"),
    )
    if any(each["unscored"] for each in told.values()):
        say("Unscored are rows of which a detector could say nothing; they count nowhere.")


def policy_in(path: Path) -> Policy:
    """
    Raises:
        InvalidInput: it cannot be read, or is no policy; everything that is wrong with it.
    """
    from modiste.moderate import policy

    try:
        return policy.read(path.read_text(encoding="utf-8"), file=str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path}: cannot be read: {error}", param="policy") from None


def read(path: Path, codes: Sequence[str]) -> list[Labelled]:
    """
    Raises:
        InvalidInput: unreadable, without a row, or everything that is wrong with its rows.
    """
    from modiste.prepare.sources.jsonl import parse_json, read_rows

    found: list[Labelled] = []
    problems: list[Problem] = []
    try:
        with path.open("rb") as stream:
            for raw in read_rows(stream, file=str(path)):
                if raw.problem is None and not raw.text.strip():
                    continue
                row, problem = parse_json(raw, file=str(path))
                if problem is not None:
                    problems.append(problem)
                elif wrong := _wrong(row, codes):
                    problems.append(Problem(str(path), raw.line, *wrong))
                else:
                    found.append(_labelled(row))
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read: {error.strerror}") from None
    if problems:
        raise InvalidInput("; ".join(map(str, problems[:3])), problems=problems)
    if not found:
        raise InvalidInput(f"{path} has no row; each has text or messages, and labels")
    return found


def _labelled(row: dict[str, Any]) -> Labelled:
    chat = "messages" in row
    content = row["messages"] if chat else row["text"]
    return Labelled(content, chat, row.get("place"), row["labels"])


def _wrong(row: Any, codes: Sequence[str]) -> tuple[str, str, str] | None:
    """Path, code and message of the first thing that is wrong with a row."""
    if not isinstance(row, dict):
        return "", "not_an_object", "a row is an object with text or messages, and labels"
    if isinstance(row.get("text"), str) == isinstance(row.get("messages"), list):
        return "text", "no_text", "give text (a string) or messages (a list)"
    if row.get("place") not in (None, *PLACES):
        return "place", "place_unknown", f"place is {row['place']!r}; it is {', '.join(PLACES)}"
    labels = row.get("labels")
    if not isinstance(labels, list | dict):
        return "labels", "no_labels", "labels is a list of codes, or codes with true or false"
    if isinstance(labels, dict) and not all(isinstance(each, bool) for each in labels.values()):
        return "labels", "label_no_boolean", "labels with values have true or false"
    strange = next((each for each in labels if each not in codes), None)
    if strange is not None:
        known = ", ".join(codes)
        return "labels", "category_unknown", f"labels name {strange!r}; the policy has {known}"
    return None


def _asked(
    client: Client, asked: dict[str, Any], rows: Sequence[Labelled]
) -> Iterator[dict[str, Any]]:
    """One result for each row; neighbours of one kind go in one request."""
    at = 0
    while at < len(rows):
        kind = (rows[at].chat, rows[at].place)
        end = at + 1
        while end < min(len(rows), at + BATCH) and (rows[end].chat, rows[end].place) == kind:
            end += 1
        body = {**asked, "input": [each.content for each in rows[at:end]]}
        if kind[0]:
            yield from client.post("/v1/chat/moderations", body)["results"]
        else:
            yield from client.post("/v1/moderations", {**body, "place": kind[1]})["results"]
        at = end


def _share(k: int, n: int) -> dict[str, Any] | None:
    """None where there is nothing to be a share of."""
    if n == 0:
        return None
    from modiste.evaluate.stats.estimates import wilson

    interval = wilson(k, n)
    return {"value": k / n, "n": n, "lo": interval.lo, "hi": interval.hi, "method": interval.method}


def _shown(share: dict[str, Any] | None) -> str:
    if share is None:
        return "cannot tell"
    return f"{share['value']:.3f} [{share['lo']:.3f}, {share['hi']:.3f}] of {share['n']}"


def _path(policy: str) -> str:
    name, at, version = policy.rpartition("@")
    return f"/v1/policies/{name if at and version.isdigit() else policy}"


def _version(policy: str) -> int | None:
    _, at, version = policy.rpartition("@")
    return int(version) if at and version.isdigit() else None
