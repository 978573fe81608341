"""`modiste files`: upload training data, look at it, get it back, delete it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from modiste import settings
from modiste.cli.output import AsJson, ago, print_fields, print_json, print_table, say, size
from modiste.client import Client, connect
from modiste.errors import Conflict

app = typer.Typer(
    add_completion=False,
    help="Training files: upload, list, show, report, download, delete.",
    no_args_is_help=True,
)

FileId = Annotated[str, typer.Argument(help="The id shown by `modiste files list`.")]


@app.command()
def upload(
    paths: Annotated[list[Path], typer.Argument(help="Files of rows, in any format that is read.")],
    purpose: Annotated[str, typer.Option(help="fine-tune or batch.")] = "fine-tune",
    as_json: AsJson = False,
) -> None:
    """Upload files. One that is there already, with this name, is not stored twice."""
    uploaded = []
    with connect(settings.load()) as client:
        for path in paths:
            uploaded.append(client.upload(path, purpose=purpose))
            if not as_json:
                file = uploaded[-1]
                rows = "" if file.get("num_lines") is None else f", {file['num_lines']} rows"
                typer.echo(f"{file['id']}  {path.name}  ({size(file['bytes'])}{rows})")
    if as_json:
        print_json(uploaded if len(uploaded) > 1 else uploaded[0])


@app.command("list")
def list_(
    search: Annotated[str | None, typer.Option(help="Part of a file name.")] = None,
    purpose: Annotated[str | None, typer.Option(help="fine-tune, batch, …")] = None,
    page: Annotated[int, typer.Option(min=0, help="Page, from 0.")] = 0,
    page_size: Annotated[int, typer.Option(min=1, max=1000)] = 100,
    as_json: AsJson = False,
) -> None:
    """Files on the server, newest first."""
    with connect(settings.load()) as client:
        answer = client.get(
            "/v1/files", search=search, purpose=purpose, page=page, page_size=page_size
        )
    if as_json:
        print_json(answer)
        return
    print_table(
        ["id", "name", "purpose", "rows", "size", "uploaded"],
        [
            (
                file["id"],
                file["filename"],
                file["purpose"],
                file.get("num_lines"),
                size(file["bytes"]),
                ago(file["created_at"]),
            )
            for file in answer["data"]
        ],
        empty="No files. `modiste files upload train.jsonl` adds one.",
    )
    _say_rest(answer, shown=page * page_size + len(answer["data"]))


@app.command()
def show(file_id: FileId, as_json: AsJson = False) -> None:
    """Everything that is known about one file."""
    with connect(settings.load()) as client:
        file = client.get(f"/v1/files/{file_id}")
    if as_json:
        print_json(file)
        return
    print_fields(
        [
            ("id", file["id"]),
            ("name", file["filename"]),
            ("purpose", file["purpose"]),
            ("holds", file.get("sample_type")),
            ("rows", file.get("num_lines")),
            ("size", size(file["bytes"])),
            ("sha256", f"{file['signature']}…" if file.get("signature") else None),
            ("uploaded", ago(file["created_at"])),
        ]
    )


@app.command()
def report(
    file_id: FileId,
    html: Annotated[Path | None, typer.Option("--html", help="Write it as one page.")] = None,
    as_json: AsJson = False,
) -> None:
    """What the checks said of a file when it came; exit code 1 when a row may not be trained on."""
    with connect(settings.load()) as client:
        ok = tell_report(client, f"/v1/files/{file_id}/report", html=html, as_json=as_json)
    if not ok:
        raise typer.Exit(1)


def tell_report(client: Client, address: str, *, html: Path | None, as_json: bool) -> bool:
    """A report of the server, however it is wanted; whether it is good."""
    from modiste.cli.report_text import print_report

    found = client.get(address)
    if html is not None:
        html.write_text(client.page(address, format="html"), encoding="utf-8")
        say(f"{html} is written.")
    if as_json:
        print_json(found)
    elif html is None:
        print_report(found)
    return bool(found["ok"])


@app.command()
def download(
    file_id: FileId,
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="Path, or - for standard output.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fetch a file's content, byte for byte; an existing file is not overwritten."""
    with connect(settings.load()) as client:
        file = client.get(f"/v1/files/{file_id}")
        if output == "-":
            for chunk in client.download(file_id):
                sys.stdout.buffer.write(chunk)
            return
        path = Path(output or Path(file["filename"]).name)
        if path.is_dir():
            path = path / Path(file["filename"]).name
        try:
            with path.open("xb") as target:
                written = sum(target.write(chunk) for chunk in client.download(file_id))
        except FileExistsError:
            raise Conflict(f"{path} exists already; name another with --output") from None
    if as_json:
        print_json({"id": file_id, "path": str(path), "bytes": written})
    else:
        typer.echo(f"{path}  ({size(written)})")


@app.command()
def delete(file_id: FileId, as_json: AsJson = False) -> None:
    """Delete a file. Jobs and models made from it stay."""
    with connect(settings.load()) as client:
        answer = client.delete(f"/v1/files/{file_id}")
    if as_json:
        print_json(answer)
    else:
        say(f"{file_id} is deleted.")


def _say_rest(answer: dict[str, Any], *, shown: int) -> None:
    total = answer.get("total") or 0
    if total > shown:
        say(f"{shown} of {total}; --page shows the next ones.")
