"""`modiste data trace` and `forget`: from models to rows, from rows to models.

A row is named by its id, or by the line where it stands in a local file or in an uploaded one. Both
commands ask the server of this home (or of `MODISTE_URL`): it knows what its jobs were made from.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from modiste import settings
from modiste.cli.output import (
    AsJson,
    ago,
    print_fields,
    print_json,
    print_table,
    say,
)
from modiste.client import Client, connect
from modiste.errors import InvalidInput

app = typer.Typer(add_completion=False)
PAGE = 10_000

RowIds = Annotated[
    list[str] | None, typer.Option("--row", help="Id of a row, 32 hex digits; repeatable.")
]
InFile = Annotated[
    str | None, typer.Option("--file", help="File with the row: a path, or the id of an upload.")
]
Lines = Annotated[
    list[int] | None, typer.Option("--line", min=1, help="Line of --file; repeatable.")
]


@app.command()
def trace(
    model: Annotated[str | None, typer.Argument(help="A fine-tuned model.")] = None,
    row: RowIds = None,
    file: InFile = None,
    line: Lines = None,
    rows: Annotated[bool, typer.Option("--rows", help="List every row the model saw.")] = False,
    as_json: AsJson = False,
) -> None:
    """Which rows a model saw; or, with --row or --file and --line, which models saw a row."""
    by_row = bool(row or file or line)
    if (model is None) is not by_row:
        raise InvalidInput("name a model, or a row with --row, or with --file and --line")
    with connect(settings.load()) as client:
        if model is not None:
            _trace_model(client, model, rows=rows, as_json=as_json)
            return
        found = [client.get(f"/v1/rows/{id}/models") for id in row_ids(client, row, file, line)]
    if as_json:
        print_json(found if len(found) > 1 else found[0])
        return
    for one in found:
        _print_row(one)


@app.command()
def forget(
    row: RowIds = None,
    file: InFile = None,
    line: Lines = None,
    reason: Annotated[str, typer.Option(help="Why; it is kept with the row.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask again.")] = False,
    as_json: AsJson = False,
) -> None:
    """Let no model learn from rows any more; models that did are marked stale. No way back."""
    if not reason.strip():
        raise InvalidInput("--reason is missing: it says later why a model is stale")
    with connect(settings.load()) as client:
        ids = row_ids(client, row, file, line)
        if not yes:
            _confirm(client, ids)
        answer = client.post("/v1/rows/forget", {"rows": ids, "reason": reason})
    if as_json:
        print_json(answer)
        return
    n = len(answer["rows"])
    say(f"{n} row{'s are' if n > 1 else ' is'} forgotten: jobs with {'them' if n > 1 else 'it'} "
        "fail from now on.")  # fmt: skip
    for model in answer["stale_models"]:
        say(f"stale: {model}")
    for job in answer["unfinished_jobs"]:
        say(f"on its way: job {job}; it fails if it has yet to train on them, else ends stale")
    _print_files(answer["files"], "still there: delete or replace these files")
    for unknown in answer["unknown"]:
        say(f"no file and no model here knows {unknown}")


def row_ids(
    client: Client, ids: list[str] | None, file: str | None, lines: list[int] | None
) -> list[str]:
    """The rows that were named, whichever way."""
    if (file is None) is not (not lines):
        raise InvalidInput("--file and --line go together")
    named = list(ids or ())
    if file is not None and lines:
        path = Path(file).expanduser()
        named += _ids_in(path, lines) if path.is_file() else _ids_of_upload(client, file, lines)
    if not named:
        raise InvalidInput("name a row: --row ID, or --file FILE --line N")
    return list(dict.fromkeys(named))


def _ids_in(path: Path, lines: list[int]) -> list[str]:
    """From a local file, which need not be on the server."""
    from modiste.prepare.row_index import index_file

    found = index_file(path, filename=str(path)).ids_at(lines)
    missing = [str(line) for line in lines if line not in found]
    if missing:
        raise InvalidInput(f"{path} has no row that begins in line {', '.join(missing)}")
    return [found[line] for line in lines]


def _ids_of_upload(client: Client, file_id: str, lines: list[int]) -> list[str]:
    answer = client.get(f"/v1/files/{file_id}/rows", line=lines)
    return [str(row["id"]) for row in answer["data"]]


def _trace_model(client: Client, model: str, *, rows: bool, as_json: bool) -> None:
    found = client.get(f"/v1/models/{model}/lineage")
    listed = list(_rows_of(client, found)) if rows else []
    if as_json:
        print_json({**found, "seen": listed} if rows else found)
        return
    stale = found["stale"]
    print_fields(
        [
            ("model", found["model"]),
            ("base", found["base"]),
            ("job", found["job"]),
            *[("went on from", _parent(parent)) for parent in found["parents"]],
            ("dataset", found["dataset"]),
            ("code", found["code_version"] and f"modiste {found['code_version']}"),
            ("made", ago(found["trained_at"])),
            ("epochs", _epochs(found["epochs"])),
            ("forgotten", found["rows_forgotten"] or None),
            ("stale", stale and f"since {ago(stale['at'])}: {stale['reason']}"),
        ]
    )
    print_table(
        ["job", "use", "file", "id", "rows", "left out", "sha256", "note"],
        [
            (
                file["job"][:8],
                file["use"],
                file["filename"],
                file["file_id"],
                file["rows"],
                file["rows_left_out"] or None,
                f"{file['sha256'][:12]}…",
                "deleted" if file["deleted"] else None,
            )
            for file in found["files"]
        ],
        empty="It saw no file.",
    )
    for seen in listed:
        typer.echo(f"{seen['id']}  {seen['use']}  {seen['filename']} line {seen['line']}")
    if not rows:
        say(f"modiste data trace {found['model']} --rows lists every row.")


def _parent(parent: dict[str, Any]) -> str:
    if parent["job"] is None:
        return f"{parent['model']} (what it saw is not known here)"
    return f"{parent['model']}, job {parent['job']}" + (", deleted" if parent["deleted"] else "")


def _epochs(number: float | None) -> str | None:
    if number is None:
        return None
    return f"{number:.3g}" + (", so not every row was reached" if number < 1 else "")


def _rows_of(client: Client, found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for file in found["files"]:
        after = 0
        while True:
            page = client.get(
                f"/v1/models/{found['model']}/rows",
                file_id=file["file_id"],
                job=file["job"],
                after_line=after,
                limit=PAGE,
            )
            for row in page["data"]:
                yield {**row, "filename": file["filename"]}
            if not page["has_more"]:
                break
            after = page["data"][-1]["line"]


def _print_row(found: dict[str, Any]) -> None:
    typer.echo(f"row {found['id']}")
    if found["forgotten"]:
        gone = found["forgotten"]
        say(f"forgotten {ago(gone['at'])}: {gone['reason']}")
    print_table(
        ["model", "use", "lines", "job", "note"],
        [
            (
                seen["model"],
                seen["use"],
                ", ".join(map(str, seen["lines"])),
                seen["job"],
                _row_note(seen),
            )
            for seen in found["models"]
        ],
        empty="No model of this server saw it.",
    )
    _print_files(found["files"], "files that hold it")


def _row_note(seen: dict[str, Any]) -> str:
    words = [word for word in ("stale", "deleted") if seen[word]]
    return ", ".join(words + ([f"through {seen['through']}"] if seen["through"] else []))


def _print_files(files: list[dict[str, Any]], title: str) -> None:
    if not files:
        return
    say(f"{title}:")
    print_table(
        ["file", "id", "lines", "dataset"],
        [
            (
                file["filename"],
                file["file_id"],
                ", ".join(map(str, file["lines"])),
                ", ".join(file["datasets"]),
            )
            for file in files
        ],
        empty="",
    )


def _confirm(client: Client, ids: list[str]) -> None:
    """What it would touch, and whether to go on."""
    models = {
        seen["model"]
        for id in ids
        for seen in client.get(f"/v1/rows/{id}/models")["models"]
        if seen["use"] == "train"
    }
    say(f"{len(ids)} rows to forget; models that learned from them: {len(models)}")
    for model in sorted(models):
        say(f"  {model}")
    if not sys.stdin.isatty():
        raise InvalidInput("nothing was changed; there is no way back, so say --yes")
    typer.confirm("There is no way back. Forget them?", abort=True)
