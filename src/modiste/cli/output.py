"""What a person reads and what a program reads: tables, `--json`, one-line errors.

Answers go to standard output, everything said along the way to standard error. Text that came from
elsewhere (file names, model answers) loses its control characters before it reaches a terminal.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modiste.errors import ModisteError

if TYPE_CHECKING:
    from rich.console import Console, JustifyMethod

AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
PROBLEMS_SHOWN = 20


def print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def say(line: str) -> None:
    """Something on the way to the answer."""
    typer.echo(line, err=True)


def console() -> Console:
    """For tables. Where no terminal is, lines are as long as their content."""
    from rich.console import Console

    terminal = sys.stdout.isatty()
    return Console(width=None if terminal else 400, highlight=False, soft_wrap=not terminal)


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    empty: str,
    numbers: Collection[str] = (),
) -> None:
    """`empty` is said where there are no rows, and says what to do. `numbers` end on the right."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        justify: JustifyMethod = "right" if column in numbers else "left"
        table.add_column(column, overflow="fold", justify=justify)
    for row in rows:
        table.add_row(*(Text("" if cell is None else printable(str(cell))) for cell in row))
    if table.row_count:
        console().print(table)
    else:
        say(empty)


def print_fields(fields: Iterable[tuple[str, object]]) -> None:
    """One noun, a line per field; fields without a value are left out."""
    given = [(name, value) for name, value in fields if value not in (None, "", [], {})]
    width = max((len(name) for name, _ in given), default=0)
    for name, value in given:
        typer.echo(f"{name:<{width}}  {printable(str(value))}")


def command_name() -> str:
    """What to type to run this program again, from where the user stands."""
    program = Path(sys.argv[0])
    found = shutil.which("modiste")
    if program.name != "modiste" or (found and Path(found).resolve() == program.resolve()):
        return "modiste"
    try:
        return str(program.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(program.resolve())


def printable(text: str) -> str:
    """`text` without what a terminal would obey; newlines and tabs stay."""
    return "".join(c if c.isprintable() or c in "\n\t" else "�" for c in text)


def fail(error: Exception, *, as_json: bool) -> int:
    """Say what went wrong and return the exit code."""
    if not isinstance(error, ModisteError):
        error = _unexpected(error)
    if as_json:
        problems = [
            {"file": p.file, "line": p.line, "code": p.code, "message": p.message}
            for p in error.problems
        ]
        body = {"code": error.error_code, "message": error.message, "param": error.param}
        typer.echo(json.dumps({"error": {**body, "problems": problems}}), err=True)
        return error.exit_code
    typer.secho("error: ", fg="red", bold=True, nl=False, err=True)
    say(printable(_before_problems(error)))
    for problem in error.problems[:PROBLEMS_SHOWN]:
        say(f"  {printable(str(problem))}")
    if len(error.problems) > PROBLEMS_SHOWN:
        say(f"  … and {len(error.problems) - PROBLEMS_SHOWN} more; --json lists all")
    return error.exit_code


def _before_problems(error: ModisteError) -> str:
    """The message without the problems it repeats: they follow, one a line."""
    for problem in error.problems[:1]:
        head, found, _ = error.message.partition(str(problem))
        if found and head.strip():
            return head.rstrip()
    return error.message


def _unexpected(error: Exception) -> ModisteError:
    """A fault of ours: the traceback is kept for the report, the terminal gets one line."""
    with tempfile.NamedTemporaryFile(
        "w", prefix="modiste-", suffix=".traceback", delete=False, encoding="utf-8"
    ) as file:
        file.write("".join(traceback.format_exception(error)))
    said = str(error).partition("\n")[0][:200]
    return ModisteError(
        f"{type(error).__name__}: {said}. This is a fault of Modiste; the details are in "
        f"{file.name}"
    )


def size(n_bytes: int | None) -> str:
    if n_bytes is None:
        return ""
    value, unit = float(n_bytes), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def ago(timestamp: int | None) -> str:
    return "" if timestamp is None else f"{duration(max(0.0, time.time() - timestamp))} ago"


def duration(seconds: float | None) -> str:
    """`42 s`, `3 min 5 s`, `2 h 10 min`, `4 d`."""
    if seconds is None:
        return ""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    if whole < 2 * 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d"
