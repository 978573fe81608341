"""`modiste data reformat`: files repaired in place, with a diff, a backup, and what is still wrong.

Takes what `utils.reformat_data` of mistral-finetune takes, and folders, patterns and Windows paths.
Exit code 0 when every row may be trained on afterwards, 1 when any may not.
"""

from __future__ import annotations

from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Annotated

import typer

from modiste.cli.output import AsJson, print_json, printable, say

if TYPE_CHECKING:
    from modiste.prepare.fix import FixReport
    from modiste.prepare.reformat import Reformatted
    from modiste.prepare.sources.locate import Located

app = typer.Typer(add_completion=False)

DIFF_LINES = 40
PROBLEMS_SHOWN = 10


@app.command()
def reformat(
    files: Annotated[list[str], typer.Argument(help="JSON lines files, folders or patterns.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be repaired.")
    ] = False,
    drop: Annotated[
        bool, typer.Option("--drop", help="Leave out rows that still cannot be trained on.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Repair files in place: aliases, roles, ids, trailing turns, empty messages; old file kept."""
    from modiste.prepare.reformat import reformat as run

    done = [
        run(file.path, filename=file.filename, dry_run=dry_run, drop=drop)
        for file in _located(files)
    ]
    ok = all(each.ok for each in done)
    if as_json:
        print_json({"ok": ok, "dry_run": dry_run, "files": [each.to_json() for each in done]})
    else:
        for each in done:
            print_fix(each.report, dry_run=dry_run)
            _print_remaining(each)
    if not ok:
        raise typer.Exit(1)


def print_fix(report: FixReport, *, dry_run: bool = False) -> None:
    """What was repaired in one file, for people: counts, the first changes, the backup."""
    if not report.changed:
        typer.echo(f"{report.filename}: nothing to repair in {report.n_rows:,} rows")
        return
    did = "would repair" if dry_run else "repaired"
    typer.echo(f"{report.filename}: {did} {report.n_changed:,} of {report.n_rows:,} rows")
    for code, n in report.counts.most_common():
        typer.echo(f"  {n:>7,}  {code.replace('_', ' ')}")
    if report.dropped:
        shown = ", ".join(map(str, report.dropped[:PROBLEMS_SHOWN]))
        more = " …" if len(report.dropped) > PROBLEMS_SHOWN else ""
        typer.echo(f"  left out {len(report.dropped):,} rows: lines {shown}{more}")
    for line in report.diff[:DIFF_LINES]:
        color = {"-": "red", "+": "green", "@": "cyan"}.get(line[:1])
        typer.secho(printable(f"  {line}"), fg=color)
    if len(report.diff) > DIFF_LINES:
        typer.echo(f"  … {len(report.diff) - DIFF_LINES:,} more lines of difference with --json")
    if report.backup:
        typer.echo(f"  the file as it was: {report.backup}")


def _print_remaining(done: Reformatted) -> None:
    for problem in done.problems[:PROBLEMS_SHOWN]:
        say(printable(str(problem)))
    if len(done.problems) > PROBLEMS_SHOWN:
        say(f"… and {len(done.problems) - PROBLEMS_SHOWN:,} more problems; --json lists all")
    if done.problems:
        n = len(done.bad_lines)
        rows, them = ("1 row", "it") if n == 1 else (f"{n:,} rows", "them")
        say(f"{rows} cannot be trained on: mend {them} by hand, or leave {them} out with --drop")


def _located(files: list[str]) -> list[Located]:
    from modiste.errors import InvalidInput
    from modiste.prepare.sources.locate import locate

    remote = [name for name in files if "://" in name]
    if remote:
        raise InvalidInput(f"{remote[0]} is not on this machine: fetch it first", param="files")
    found: dict[Path, Located] = {}
    for name in map(_native, files):
        for file in locate([name]):
            if file.path.suffix == ".jsonl" or not Path(name).expanduser().is_dir():
                found.setdefault(file.path, file)
    return list(found.values())


def _native(name: str) -> str:
    """A path as Windows writes it, where it leads somewhere when read so."""
    if "\\" in name and not Path(name).exists():
        turned = PureWindowsPath(name).as_posix()
        return turned if Path(turned).exists() else name
    return name
