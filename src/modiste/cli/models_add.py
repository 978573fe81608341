"""`modiste models add`: a base that is installed, or a model that another server answers for."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from modiste import settings
from modiste.cli.output import AsJson, print_json, say
from modiste.client import connect
from modiste.errors import InvalidInput

app = typer.Typer(add_completion=False)
PANEL = "Models elsewhere"
MICRO = 1_000_000


class Kind(StrEnum):
    OPENAI = "openai"
    MISTRAL = "mistral"


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="The name it is asked by, e.g. open-mistral-7b.")],
    path: Annotated[
        str | None, typer.Option("--path", help="A folder on the server, or hub:ORG/NAME.")
    ] = None,
    upstream: Annotated[
        str | None,
        typer.Option(
            help="URL of an endpoint that answers for it, e.g. https://api.openai.com/v1.",
            rich_help_panel=PANEL,
        ),
    ] = None,
    key_env: Annotated[
        str | None,
        typer.Option(
            help="Environment variable of the server that holds the endpoint's key.",
            rich_help_panel=PANEL,
        ),
    ] = None,
    ask_key: Annotated[
        bool,
        typer.Option("--ask-key", help="Type the key, to be kept sealed.", rich_help_panel=PANEL),
    ] = False,
    served_by: Annotated[
        str | None,
        typer.Option(
            help="vllm:URL of the server that computes the base of --path and its adapters.",
            rich_help_panel=PANEL,
        ),
    ] = None,
    upstream_model: Annotated[
        str | None, typer.Option(help="Its name there, if another.", rich_help_panel=PANEL)
    ] = None,
    kind: Annotated[
        Kind, typer.Option(help="What the endpoint speaks.", rich_help_panel=PANEL)
    ] = Kind.OPENAI,
    context: Annotated[
        int, typer.Option(help="Tokens it reads at most; 0: not known.", rich_help_panel=PANEL)
    ] = 0,
    daily_tokens: Annotated[
        int | None, typer.Option(help="Most tokens a day (UTC).", rich_help_panel=PANEL)
    ] = None,
    daily_cost: Annotated[
        float | None,
        typer.Option(help="Most money a day, in the server's currency.", rich_help_panel=PANEL),
    ] = None,
    price_in: Annotated[
        float | None,
        typer.Option(help="Price of a million prompt tokens.", rich_help_panel=PANEL),
    ] = None,
    price_out: Annotated[
        float | None,
        typer.Option(help="Price of a million tokens of answers.", rich_help_panel=PANEL),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Install a base model (a Hugging Face folder, a Mistral folder, one of the hub), or register
    one that another server answers for."""
    if (path is None) == (upstream is None):
        raise InvalidInput("give --path for a base that is installed, or --upstream for a URL")
    if served_by is not None and path is None:
        raise InvalidInput("--served-by goes with --path: the base's files are needed here, too")
    if upstream is None:
        route, body = "/v1/models/bases", dict[str, Any](name=name, path=path)
        if served_by is not None:
            body |= {"served_by": served_by, "upstream_model": upstream_model, "key_env": key_env}
    else:
        key = typer.prompt("Key", hide_input=True) if ask_key else None
        route = "/v1/models/upstreams"
        body = {
            "name": name,
            "url": upstream,
            "kind": kind.value,
            "model": upstream_model,
            "key_env": key_env,
            "api_key": key,
            "max_context_length": context,
            "daily_tokens": daily_tokens,
            "daily_cost_micro": _micro(daily_cost),
            "price_in_micro": _micro(price_in),
            "price_out_micro": _micro(price_out),
        }
    with connect(settings.load()) as client:
        card = client.post(route, body)
    if as_json:
        print_json(card)
    elif upstream is None:
        say(f"{card['id']} is installed. {_how_to_ask(card)}")
    else:
        host = card["upstream"]["host"]
        say(f"{card['id']} is answered by {host}. Try: modiste chat {card['id']}")


def _how_to_ask(card: dict[str, Any]) -> str:
    able = card["capabilities"]
    if able["completion_chat"]:
        return f"Try: modiste chat {card['id']}"
    if able["fine_tuning"]:
        return "It has no chat template: it continues texts at /v1/completions, and can be tuned."
    return "Ask it at /v1/embeddings."


def upstream_fields(upstream: dict[str, Any] | None) -> list[tuple[str, str | None]]:
    """What `models show` says of a model elsewhere."""
    if upstream is None:
        return []
    today, budget = upstream.get("today"), _budget(upstream)
    state = {None: "not asked yet", "closed": "fine", "open": "left alone for a while"}
    load = upstream.get("load") or {}
    spent = today and (
        f"{today['n_requests']} requests, {today['prompt_tokens']} + "
        f"{today['completion_tokens']} tokens, {today['cost_micro'] / MICRO:.2f} money"
    )
    failure = upstream.get("last_failure")
    named = f", as {upstream['model']}" if upstream.get("model") else ""
    told = state.get(upstream.get("state"), "trying again")
    return [
        ("answered by", f"{upstream['host']} ({upstream['kind']}){named}"),
        ("how it does", f"{told}: {failure}" if failure else told),
        ("today", spent or None),
        ("load", (load and f"{load['running']} running, {load['waiting']} waiting") or None),
        ("waits for adapters", ", ".join(load.get("waiting_adapters", ())) or None),
        ("budget a day", budget),
    ]


def _budget(upstream: dict[str, Any]) -> str | None:
    tokens, cost = upstream.get("daily_tokens"), upstream.get("daily_cost_micro")
    parts = [f"{tokens} tokens"] if tokens is not None else []
    parts += [f"{cost / MICRO:.2f} money"] if cost is not None else []
    return ", ".join(parts) or None


def _micro(amount: float | None) -> int | None:
    return None if amount is None else round(amount * MICRO)
