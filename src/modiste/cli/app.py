"""The command line: a table of commands that are imported when they are run, and one error handler.

`modiste --help` imports no command, so it answers at once. Whatever goes wrong ends in one clear
line and exit code 1 (failed) or 2 (wrong usage); a traceback goes to a file, never to the terminal.
"""

from __future__ import annotations

import difflib
import sys
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

import modiste

COMMANDS = {
    "quickstart": "Tune the shipped base model on an example task and compare the two.",
    "up": "Start the server: front, worker and engine; Ctrl-C stops it.",
    "tune": "Make a custom model from a YAML file: upload, tune, wait.",
    "chat": "Talk to a model.",
    "classify": "The labels of texts, as a classifier tells them.",
    "tokenize": "The tokens of a text or of a chat's prompt.",
    "detokenize": "The text of token ids.",
    "data": "Training data on this machine: check, preview, convert, clean, split, trace.",
    "eval": "Suites of questions: run, list, show, compare, report, rescore, resume, …",
    "judge": "Judges of answers: calibrate against experts, controls, steps, correct, ratings.",
    "sql": "Models and data by SQL: given, in a file, or typed.",
    "sweep": "Tune a grid, evaluate every cell, choose one that forgets nothing.",
    "batch": "Many requests in one file: create, list, show, wait, results, cancel, delete.",
    "files": "Training files: upload, list, show, report, download, delete.",
    "jobs": "Fine-tuning jobs: create, list, show, report, preview, events, logs, wait, …",
    "models": "Models: list, show, add, alias, promote, rollback, export, archive, delete.",
    "policies": "Moderation: add, list, show, diff, test, attach, detach, delete.",
    "gate": "Gates before deployment: would this model pass?",
    "keys": "Keys of the API: create, list, revoke.",
    "notifications": "Mail and webhooks about ended jobs: test, list.",
    "doctor": "What is installed, what is missing, what to do.",
}
"""Each lives in the module of its name, which holds `app`."""


class LazyGroup(TyperGroup):
    """Lists commands from `COMMANDS`; imports the one that is run."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A stand-in with the help line; `resolve_command` fetches the real one."""
        if cmd_name not in COMMANDS:
            return None
        return TyperCommand(cmd_name, help=COMMANDS[cmd_name], callback=None)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        near = difflib.get_close_matches(args[0], COMMANDS, n=1)
        if args[0] not in COMMANDS and near:
            ctx.fail(f"No such command {args[0]!r}. Did you mean {near[0]!r}?")
        name, _, rest = super().resolve_command(ctx, args)
        module = import_module(f"modiste.cli.{name}")
        command = typer.main.get_command(module.app)
        command.name = name
        return name, command, rest


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"modiste {modiste.__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    """Modiste makes language models to measure: prepare, fine-tune, serve, on your own machines.

    Settings: MODISTE_HOME, MODISTE_URL, MODISTE_API_KEY, … or modiste.yaml in the home folder.
    """


def run(argv: list[str] | None = None) -> int:
    """Run one command line.

    Returns:
        0 ok, 1 failed, 2 wrong usage.
    """
    arguments = sys.argv[1:] if argv is None else argv
    try:
        app(args=arguments, prog_name="modiste")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(bool(end.code))
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has left; nothing more to say to them
        return 1
    except Exception as error:  # noqa: BLE001 - the process edge: say it in one line, keep the rest
        from modiste.cli.output import fail

        return fail(error, as_json="--json" in arguments)
    return 0
