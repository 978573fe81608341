"""`modiste chat`: a conversation in the terminal, or one question and its answer."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import closing
from typing import Annotated, Any

import typer

from modiste import settings
from modiste.cli.lines import line_editing
from modiste.cli.output import AsJson, print_json, printable, say
from modiste.client import Client, connect
from modiste.errors import InvalidInput, ModisteError

app = typer.Typer(add_completion=False)

HINT = "/help tells the commands; Ctrl-C stops an answer, Ctrl-D ends."
HELP = """/reset          forget the conversation
/history        show what was said so far
/retry          ask the last question again
/system TEXT    set the system prompt; without TEXT, none
/exit           end (or Ctrl-D)
Ctrl-C stops an answer; what was said of it is forgotten. Arrow keys bring back earlier lines."""
Json = dict[str, Any]


@app.command()
def chat(
    model: Annotated[str, typer.Argument(help="A name of `modiste models list`.")],
    message: Annotated[
        str | None, typer.Option("--message", "-m", help="Ask this, print the answer, end.")
    ] = None,
    system: Annotated[str | None, typer.Option(help="System prompt.")] = None,
    temperature: Annotated[float | None, typer.Option(min=0.0, max=2.0)] = None,
    top_p: Annotated[float | None, typer.Option(min=0.0, max=1.0)] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1)] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Same seed, same answer.")] = None,
    as_json: AsJson = False,
) -> None:
    """Talk to a model. Without --message: a conversation, or the question on standard input."""
    if message is None and not sys.stdin.isatty():
        message = sys.stdin.read().strip()
        if not message:
            raise InvalidInput("standard input is empty; give a question, or --message")
    if message is None and as_json:
        raise InvalidInput("--json needs --message or a question on standard input")
    options = {
        "temperature": temperature,
        "top_p": top_p,
        "max_tokens": max_tokens,
        "random_seed": seed,
    }
    body = {"model": model, **{name: v for name, v in options.items() if v is not None}}
    loaded = settings.load()
    with connect(loaded, needs_engine=True, report=say) as client:
        talk = Conversation(client, body, system=system)
        if message is None:
            client.get(f"/v1/models/{model}")  # a wrong name is said before the first question
            with line_editing(loaded.home / "chat_history"):
                _converse(talk)
        elif as_json:
            print_json(client.chat({**body, "messages": talk.with_question(message)}))
        else:
            talk.ask(message, _write)
            typer.echo()


class Conversation:
    """What was said so far. An answer that fails or is interrupted leaves no half turn behind."""

    def __init__(self, client: Client, body: Json, *, system: str | None = None) -> None:
        self._client, self._body = client, body
        self.system = system
        self.turns: list[Json] = []

    def with_question(self, question: str) -> list[Json]:
        first = [{"role": "system", "content": self.system}] if self.system else []
        return [*first, *self.turns, {"role": "user", "content": question}]

    def ask(self, question: str, write: Callable[[str], None]) -> None:
        """Write the answer piece by piece; KeyboardInterrupt stops the generation."""
        body = {**self._body, "messages": self.with_question(question)}
        answer, reason = "", None
        with closing(self._client.chat_stream(body)) as chunks:
            for chunk in chunks:
                for choice in chunk["choices"]:
                    text = choice["delta"].get("content") or ""
                    answer += text
                    reason = choice["finish_reason"] or reason
                    write(text)
        if reason == "length":
            say("\n[the answer stops at the limit of tokens]")
        self.turns += [
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ]


def _converse(talk: Conversation) -> None:
    """Until /exit or Ctrl-D. Ctrl-C never ends it: it stops an answer, or empties the line."""
    say(HINT)
    while True:
        try:
            line = input("\n> ").strip()
        except EOFError:
            say("")
            return
        except KeyboardInterrupt:
            say("\n(/exit or Ctrl-D ends)")
            continue
        match line.partition(" "):
            case ("", _, _):
                continue
            case ("/exit" | "/quit", _, _):
                return
            case (command, _, rest) if command.startswith("/"):
                _command(talk, command, rest)
            case _:
                _answer(talk, line)


def _command(talk: Conversation, command: str, rest: str) -> None:
    match command:
        case "/help":
            say(HELP)
        case "/reset" | "/clear":
            talk.turns.clear()
            say("The conversation is forgotten.")
        case "/history":
            said = [f"{turn['role']}: {printable(turn['content'])}" for turn in talk.turns]
            say("\n".join(said) or "Nothing was said yet.")
        case "/retry" if talk.turns:
            question = talk.turns[-2]["content"]
            del talk.turns[-2:]
            _answer(talk, question)
        case "/retry":
            say("Nothing was asked yet.")
        case "/system":
            talk.system = rest or None
            say("The system prompt is set." if rest else "There is no system prompt now.")
        case _:
            say(f"{printable(command)} is no command. {HINT}")


def _answer(talk: Conversation, question: str) -> None:
    try:
        talk.ask(question, _write)
        typer.echo()
    except KeyboardInterrupt:
        say("\n[stopped; this turn is forgotten]")
    except ModisteError as error:
        say(f"error: {printable(error.message)}")


def _write(text: str) -> None:
    sys.stdout.write(printable(text))
    sys.stdout.flush()
