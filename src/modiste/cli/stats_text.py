"""Statistics in the terminal: what there is, how long things are, what a training would take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import typer
from rich.text import Text

from modiste.cli.estimates import shown
from modiste.cli.output import console, print_fields, print_table, printable, say
from modiste.prepare.charts import number, percent

Json = Mapping[str, Any]

BLOCKS = " ▁▂▃▄▅▆▇█"
LENGTHS = {
    "tokens": "tokens of a sequence",
    "trained": "trained tokens of a sequence",
    "turns": "answers of a conversation",
    "question": "letters asked",
    "answer": "letters answered",
    "text": "letters of a text",
}
COLUMNS = ("base", "tokens", "steps", "epochs", "an epoch", "memory", "duration", "cost")


def print_stats(answer: Json) -> None:
    files, total = answer["files"], answer["total"]
    say(f"tokens: {printable(answer['tokenizer']['files'])}")
    if len(files) > 1:
        columns = ["file", "format", "rows", "bad", "tokens", "trained"]
        print_table(columns, map(_file, files), empty="", numbers=columns[2:])
    else:
        typer.echo(f"{printable(files[0]['file'])}: {files[0]['format'] or 'no format'}")
    print_fields(_facts(total, files))
    _print_lengths(total["lengths"])
    if total.get("fits"):
        said = ", ".join(
            f"{percent(share)} into {int(length):,}" for length, share in total["fits"].items()
        )
        typer.echo(f"fit whole  {said}")
    _print_estimates(answer["estimates"])


def sparkline(bars: Sequence[Mapping[str, int]]) -> str:
    """One letter for each bar; a bar with anything in it is never blank."""
    top = max((bar["n"] for bar in bars), default=1)
    return "".join(BLOCKS[-(-bar["n"] * (len(BLOCKS) - 1) // top)] for bar in bars)


def _file(file: Json) -> tuple[object, ...]:
    counted = file["statistics"]
    tokens, trained = counted.get("tokens"), counted.get("trained_tokens")
    share = percent(trained / tokens) if tokens else ""
    bad = number(file["bad_rows"]) if file["bad_rows"] else ""
    rows = number(file["rows"])
    return file["file"], file["format"], rows, bad, number(tokens) if tokens else "", share


def _facts(total: Json, files: Sequence[Json]) -> Iterator[tuple[str, object]]:
    n_bad = sum(file["bad_rows"] for file in files)
    bad = f", and {n_bad:,} that may not be trained on (modiste data check)" if n_bad else ""
    yield "rows", f"{total['rows']:,}{bad}"
    if total.get("tokens"):
        share = percent(total["trained_tokens"] / total["tokens"])
        yield (
            "tokens",
            f"{total['tokens']:,}, {total['trained_tokens']:,} of them trained ({share})",
        )
        yield "sequences", f"{total['samples']:,}" if total["samples"] != total["rows"] else None
    if total.get("over_length_samples"):
        yield "too long", f"{total['over_length_samples']:,} rows for {total['seq_len']:,} tokens"
    if total.get("untrained_rows"):
        yield "untrained", f"{total['untrained_rows']:,} rows train nothing"
    yield "messages", ", ".join(f"{n:,} {role}" for role, n in total["messages"].items())
    yield "system", f"{total['with_system']:,} rows" if total["with_system"] else None
    calls = f"{total['with_tools']:,} rows, {total['tool_calls']:,} calls"
    yield "tools", calls if total["with_tools"] or total["tool_calls"] else None


def _print_lengths(lengths: Json) -> None:
    typer.echo()
    print_table(
        ["length of", "median", "90 %", "99 %", "most", "from least to most"],
        (
            (
                LENGTHS[name],
                *(number(each[key]) for key in ("p50", "p90", "p99", "max")),
                sparkline(each["bars"]),
            )
            for name, each in lengths.items()
        ),
        empty="nothing to measure",
        numbers=("median", "90 %", "99 %", "most"),
    )


def _print_estimates(estimates: Sequence[dict[str, Any]]) -> None:
    if not estimates:
        return
    rows = [shown(each) for each in estimates]
    columns = [name for name in COLUMNS if any(row[name] for row in rows)]
    typer.echo()
    cells = ([row[name] for name in columns] for row in rows)
    print_table(columns, cells, empty="", numbers=columns[1:])
    about = (
        "≈ read by another tokenizer, estimated from a sample of the texts. "
        if _any_estimated(estimates)
        else ""
    )
    console().print(Text(f"{about}{_pace(estimates)}", style="dim"))


def _any_estimated(estimates: Sequence[Json]) -> bool:
    return any(each["tokens_estimated"] for each in estimates)


def _pace(estimates: Sequence[Json]) -> str:
    """What the durations rest on; memory is that of training on this machine's processor."""
    measured = [each["base"] for each in estimates if each["rests_on"] == "measured here"]
    if not measured:
        return "Durations are for two processor cores, assumed from the size of the base."
    return f"Durations are measured here for {', '.join(measured)}, else assumed from the size."
