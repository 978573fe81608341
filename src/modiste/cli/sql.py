"""`modiste sql`: statements given, in a file, or typed one after the other."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from modiste import settings
from modiste.cli.lines import line_editing
from modiste.cli.output import AsJson, print_json, print_table, printable, say
from modiste.client import Client, connect
from modiste.errors import InvalidInput, ModisteError, NotYetSupported

app = typer.Typer(add_completion=False)

HINT = "A statement ends with ; and may take several lines. Tab completes names, \\q ends."
ENDS = ("\\q", "exit", "quit")
WORDS = (
    "SELECT", "FROM", "WHERE", "JOIN", "LIMIT", "ORDER BY", "GROUP BY", "USING", "PREDICT",
    "CREATE DATABASE", "CREATE MODEL", "CREATE PROJECT", "CREATE VIEW", "CREATE ML_ENGINE",
    "DROP DATABASE", "DROP MODEL", "DROP VIEW", "FINETUNE", "EXPLAIN FINETUNE", "CANCEL FINETUNE",
    "RETRAIN", "EVALUATE", "COMPARE", "PROMOTE",
    "DESCRIBE", "SHOW DATABASES", "SHOW MODELS", "SHOW TABLES", "SHOW WARNINGS", "SET ACTIVE",
    "USE",
)  # fmt: skip
"""What Tab completes beside names."""
NAMES = "SELECT name FROM information_schema.databases", "SELECT name FROM models"
Json = dict[str, Any]


@app.command()
def sql(
    command: Annotated[
        str | None, typer.Option("--command", "-c", help="Do these statements and end.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="Do the statements of a file and end.")
    ] = None,
    database: Annotated[
        str, typer.Option("--database", "-d", help="The project or data source to start in.")
    ] = "mindsdb",
    as_json: AsJson = False,
) -> None:
    """Models and data by SQL (docs/sql.md); without -c and -f a conversation, or standard input."""
    if command is not None and file is not None:
        raise InvalidInput("give --command or --file, not both")
    text = _text(command, file)
    if text is None and as_json:
        raise InvalidInput("--json needs --command, --file or statements on standard input")
    statements = None if text is None else split(text)
    loaded = settings.load()
    with connect(loaded, needs_engine=True, report=say) as client:
        talk = Talk(client, database)
        if statements is None:
            with line_editing(loaded.home / "sql_history", Names(talk)):
                _converse(talk)
        elif as_json:
            print_json([talk.ask(statement) for statement in statements])
        else:
            for statement in statements:
                show(talk.ask(statement))


def split(text: str) -> list[str]:
    """
    Raises:
        InvalidInput: a string or a comment does not end; nothing was done then.
        NotYetSupported: the packages for SQL are not installed.
    """
    try:
        from modiste.sql import lexer
        from modiste.sql.errors import SqlError
    except ImportError:
        raise NotYetSupported(
            "SQL needs packages that are not installed: pip install 'modiste[sql]'."
        ) from None
    try:
        return [piece.source for piece in lexer.pieces(text, "mysql")]
    except SqlError as error:
        raise InvalidInput(error.message) from None


class Talk:
    """One statement after the other; `USE` holds for those that follow."""

    def __init__(self, client: Client, database: str) -> None:
        self._client = client
        self.database = database

    def ask(self, statement: str) -> Json:
        """`{"type": "ok" | "table", …}`.

        Raises:
            InvalidInput: the statement's own error, with its number.
        """
        body = {"query": statement, "context": {"db": self.database}}
        told = self._client.post("/api/sql/query", body)
        if told["type"] == "error":
            raise InvalidInput(f"{told['error_message']} ({told['error_code']})")
        self.database = told.pop("context", {}).get("db") or self.database
        return told


class Names:
    """What Tab completes: words of the language, and names of databases and models, asked once."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self._names: list[str] | None = None

    def __call__(self, begun: str) -> list[str]:
        if self._names is None:
            self._names = self._asked()
        upper = begun.upper()
        words = [word for word in WORDS if word.startswith(upper)] if begun else []
        return words + [name for name in self._names if name.startswith(begun.lower())]

    def _asked(self) -> list[str]:
        found: set[str] = set()
        for statement in NAMES:
            try:
                found.update(str(row[0]) for row in self._talk.ask(statement).get("data", ()))
            except ModisteError:
                continue  # Without names the words are still completed.
        return sorted(found)


def show(told: Json) -> None:
    if told["type"] == "table":
        rows = [["NULL" if cell is None else _cell(cell) for cell in row] for row in told["data"]]
        print_table(told["column_names"], rows, empty="no rows")
    else:
        n = told.get("affected_rows") or 0
        say(f"ok, {n} row{'' if n == 1 else 's'}" if n else "ok")


def _cell(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _text(command: str | None, file: Path | None) -> str | None:
    """None where a person types."""
    if command is not None:
        return command
    if file is not None and str(file) != "-":
        try:
            return file.read_text(encoding="utf-8")
        except OSError as error:
            raise InvalidInput(f"{file}: cannot be read: {error.strerror}", param="file") from None
        except UnicodeDecodeError as error:
            raise InvalidInput(f"{file}: is no UTF-8 at byte {error.start}", param="file") from None
    if file is None and sys.stdin.isatty():
        return None
    return sys.stdin.read()


def _converse(talk: Talk, read: Callable[[str], str] = input) -> None:
    """Until \\q or Ctrl-D. Ctrl-C forgets what was typed, or stops waiting for an answer."""
    say(HINT)
    typed = ""
    while True:
        try:
            line = read(f"{talk.database}> " if not typed else "   … ")
        except EOFError:
            say("")
            return
        except KeyboardInterrupt:
            typed = ""
            say("")
            continue
        if not typed and line.strip().rstrip(";").lower() in ENDS:
            return
        typed = f"{typed}\n{line}" if typed else line
        if not typed.strip() or (typed.rstrip().endswith(";") and _answer(talk, typed)):
            typed = ""


def _answer(talk: Talk, typed: str) -> bool:
    """Whether the text was whole; a `;` may stand in a string that goes on."""
    try:
        statements = split(typed)
    except InvalidInput as error:
        if "does not end" in error.message:
            return False
        say(f"error: {printable(error.message)}")
        return True
    for statement in statements:
        began = time.monotonic()
        try:
            show(talk.ask(statement))
            say(f"{time.monotonic() - began:.2f} s")
        except KeyboardInterrupt:
            say("[not waited for; what it had begun may go on]")
            break
        except ModisteError as error:
            say(f"error: {printable(error.message)}")
            break
    return True
