"""`modiste notifications`: whether people are told how jobs ended."""

from __future__ import annotations

import typer

from modiste import settings
from modiste.cli.output import AsJson, ago, print_json, print_table, say
from modiste.client import connect

app = typer.Typer(
    add_completion=False,
    help="Mail and webhooks about ended jobs: test, list.",
    no_args_is_help=True,
)


@app.command("test")
def try_(as_json: AsJson = False) -> None:
    """Send a trial to every address and webhook that is set; exit code 1 if one fails.

    The settings are those of the server that runs, or else of this machine.
    """
    with connect(settings.load()) as client:
        tried = client.post("/v1/notifications/test")
    failed = [each for each in tried["data"] if not each["ok"]]
    if as_json:
        print_json(tried)
    else:
        for each in tried["data"]:
            receiver = f"mail to {each['target']}" if each["target"] else each["channel"]
            say(f"{receiver}: {'delivered' if each['ok'] else 'FAILED. ' + each['error']}")
    if failed:
        raise typer.Exit(1)


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """What was told about ended jobs, and what could not be; the newest first."""
    with connect(settings.load()) as client:
        page = client.get("/v1/notifications")
    if as_json:
        print_json(page)
        return
    print_table(
        ["job", "by", "to", "status", "attempts", "made", "what failed last"],
        [
            (
                each["job_id"],
                each["channel"],
                each["target"] or "",
                each["status"],
                each["attempts"],
                ago(each["created_at"]),
                each["error"] or "",
            )
            for each in page["data"]
        ],
        empty="Nobody was to be told of an ended job.",
    )
