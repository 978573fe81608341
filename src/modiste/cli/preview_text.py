"""A preview in the terminal: what is trained stands out, control tokens are visible.

Reads the JSON form, so a preview made here and one stored with a job look the same. Where there are
no colours (a pipe, NO_COLOR), trained text stands between ⟦ and ⟧ instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from modiste.cli.output import console, printable
from modiste.prepare.charts import percent

Json = Mapping[str, Any]

TRAINED = "color(231) on color(22)"
CONTEXT = "default"
CONTROL = "magenta"
CONTROL_TRAINED = "color(219) on color(22)"
OVER = "red"
OPEN, CLOSE = "⟦", "⟧"
OVER_BEGINS = "⟨over length from here⟩"


def print_preview(preview: Json, *, tokens_of: str = "") -> None:
    out = console()
    colours = out.color_system is not None and not out.no_color
    for line in _head(preview, tokens_of, colours):
        out.print(line)
    for sample in preview["samples"]:
        out.print()
        out.print(_caption(sample))
        _print_spans(out, sample, colours)
    _print_end(out, preview)


def print_alarms(alarms: Sequence[Json]) -> None:
    out = console()
    for alarm in alarms:
        out.print(_alarm(alarm))


def _head(preview: Json, tokens_of: str, colours: bool) -> Iterator[Text]:
    shown = len({sample["line"] for sample in preview["samples"]})
    drawn = f"{preview['rows']:,}" + ("" if preview["whole_file"] else " first")
    kind = f"{preview['format']}, " if preview["format"] else ""
    yield Text.assemble(
        (printable(preview["file"]), "bold"), f": {kind}{shown} of the {drawn} rows"
    )
    if not shown:
        return
    if tokens_of:
        yield Text(f"tokens: {printable(tokens_of)}", style="dim")
    if not colours:
        yield Text(f"{OPEN}trained{CLOSE}  not trained  <control token>")
        return
    yield Text.assemble(
        (" trained ", TRAINED),
        "  not trained  ",
        ("<control>", CONTROL),
        "  ",
        ("over length", OVER),
    )


def _caption(sample: Json) -> Text:
    counts = sample["counts"]
    where = f"line {sample['line']}"
    if sample["parts"] > 1:
        where += f", sequence {sample['part']} of {sample['parts']}"
    if sample.get("answer"):
        where += f", {sample['answer']} answer"
    if sample["picked"] == "longest":
        where += ", the longest row"
    if not counts["tokens"]:
        return Text(where, style="bold")
    if sample["kind"] == "classifier":
        return Text.assemble((where, "bold"), (f"  {counts['tokens']:,} tokens", "dim"))
    return Text.assemble((where, "bold"), "  ", (said_counts(counts), "dim"))


def said_counts(counts: Json) -> str:
    share = counts["trained"] / counts["tokens"] if counts["tokens"] else 0.0
    said = f"{counts['tokens']:,} tokens: {counts['trained']:,} trained ({percent(share)}), "
    said += f"{counts['untrained']:,} not, {counts['special']:,} control"
    return said + (f", {counts['over_length']:,} over length" if counts["over_length"] else "")


def _print_spans(out: Console, sample: Json, colours: bool) -> None:
    spans = sample["spans"]
    text = Text("" if colours else "".join(_plain(spans)))
    for span in spans if colours else ():
        text.append_text(_coloured(span))
    if sample.get("labels") is not None:
        labels = "; ".join(f"{k}: {', '.join(v)}" for k, v in sample["labels"].items())
        text.append(f"\n→ {printable(labels)}", style="bold")
    if sample.get("problem"):
        text.append(f"not trained: {printable(sample['problem']['message'])}", style="red")
    out.print(Padding(text, (0, 0, 0, 2)) if colours else text)


def _coloured(span: Json) -> Text:
    if span.get("omitted"):
        return Text(_omitted(span), style="dim italic")
    text, trained = printable(span["text"]), span.get("trained")
    if span.get("over_length"):
        return Text(text, style=OVER)
    if span.get("special"):
        return Text(text, style=CONTROL_TRAINED if trained else CONTROL)
    return Text(text.replace("\n", "↵\n") if trained else text, TRAINED if trained else CONTEXT)


def _plain(spans: Sequence[Json]) -> Iterator[str]:
    open_, over = False, False
    for span in spans:
        trained = bool(span.get("trained")) and not span.get("omitted")
        if open_ and not trained:
            yield CLOSE
        if span.get("over_length") and not over:
            over = True
            yield OVER_BEGINS
        if trained and not open_:
            yield OPEN
        open_ = trained
        yield _omitted(span) if span.get("omitted") else printable(span["text"])
    if open_:
        yield CLOSE


def _omitted(span: Json) -> str:
    kind = "trained and untrained" if span.get("trained") else "untrained"
    return f"\n… {span['tokens']:,} {kind} tokens not shown …\n"


def _print_end(out: Console, preview: Json) -> None:
    counts = preview["counts"]
    out.print()
    if counts["tokens"]:
        out.print(Text.assemble(("shown  ", "bold"), said_counts(counts)))
    for alarm in preview["alarms"]:
        out.print(_alarm(alarm))


def _alarm(alarm: Json) -> Text:
    colour = "red" if alarm["severity"] == "error" else "yellow"
    where = "" if alarm["line"] is None else f"line {alarm['line']}: "
    said = f"{where}{printable(alarm['message'])}"
    hint = f" ({printable(alarm['hint'])})" if alarm.get("hint") else ""
    return Text.assemble(("! ", f"bold {colour}"), (said, colour), (hint, "dim"))
