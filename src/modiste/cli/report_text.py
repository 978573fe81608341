"""A check report in the terminal: problems of one kind together, the worst first.

Reads the JSON form. Of each kind the first few are told in full and the others by their lines;
nothing is left out without its number, and `--json` or `--all` tell everything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from modiste.cli.output import console, printable
from modiste.prepare.report_html import kinds

Json = Mapping[str, Any]

EACH = 3
"""Problems of one kind told in full."""
LINES = 12
"""Line numbers named of the others."""
COLOUR = {"error": "red", "warning": "yellow"}


def print_report(report: Json, *, everything: bool = False) -> None:
    out = console()
    for at, file in enumerate(report["files"]):
        if at:
            out.print()
        _print_file(out, file, everything)
    out.print(_verdict(report))


def count(n: int, noun: str) -> str:
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def line_list(numbers: Sequence[int], *, most: int = LINES) -> str:
    """`4, 9–12, 40 and 3 more`."""
    parts: list[str] = []
    told = 0
    for first, last in _runs(numbers):
        if len(parts) == most:
            break
        parts.append(str(first) if first == last else f"{first}–{last}")
        told += last - first + 1
    rest = len(set(numbers)) - told
    return ", ".join(parts) + (f" and {rest:,} more" if rest else "")


def _runs(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    first = last = -1
    for number in sorted(set(numbers)):
        if number != last + 1 or first < 0:
            if first >= 0:
                yield first, last
            first = number
        last = number
    if first >= 0:
        yield first, last


def _print_file(out: Console, file: Json, everything: bool) -> None:
    listed_by_kind = kinds(file["problems"])
    n_errors = sum(len(listed) for severity, _, listed in listed_by_kind if severity == "error")
    n_warnings = len(file["problems"]) - n_errors
    facts = [count(file["rows"], "row")]
    facts += [str(file["format"])] if file.get("format") else []
    if file.get("bad_rows"):
        facts.append(count(file["bad_rows"], "bad row"))
    elif n_errors:
        facts.append(count(n_errors, "error"))
    if n_warnings:
        facts.append(count(n_warnings, "warning"))
    colour = "red" if n_errors else "green"
    use = " (validation)" if file.get("use") == "validation" else ""
    out.print(
        Text.assemble(
            ("✗ " if n_errors else "✓ ", f"bold {colour}"),
            (printable(file["file"]) + use, "bold"),
            "  " + ", ".join(facts),
        )
    )
    if file.get("why"):
        _line(out, Text(printable(file["why"]), style="dim"), indent=2)
    for severity, code, listed in listed_by_kind:
        _print_kind(out, severity, code, listed, everything)


def _print_kind(
    out: Console, severity: str, code: str, listed: Sequence[Json], everything: bool
) -> None:
    times = f" ×{len(listed):,}" if len(listed) > 1 else ""
    _line(out, Text(f"{severity} {code}{times}", style=f"bold {COLOUR[severity]}"), indent=2)
    shown = listed if everything else listed[:EACH]
    before = None
    for at, problem in enumerate(shown):
        where = "" if problem["line"] is None else f"line {problem['line']}  "
        _line(out, Text.assemble((where, "cyan"), printable(_said(problem))), indent=4)
        hint = problem.get("hint")
        last = at + 1 == len(shown) or shown[at + 1].get("hint") != hint
        if hint and hint != before and last:
            _line(out, Text(f"→ {printable(hint)}", style="dim"), indent=4)
    rest = listed[len(shown) :]
    if rest:
        numbers = [problem["line"] for problem in rest if problem["line"] is not None]
        where = f" on line{'s' if len(set(numbers)) > 1 else ''} {line_list(numbers)}"
        where = where if numbers else ""
        more = f"… and {len(rest):,} more{where} (--all tells them)"
        _line(out, Text(more, style="dim"), indent=4)


def _line(out: Console, text: Text, *, indent: int) -> None:
    """Indented, where the terminal breaks the line too."""
    if out.soft_wrap:
        out.print(Text(" " * indent) + text)
    else:
        out.print(Padding(text, (0, 0, 0, indent), expand=False))


def _said(problem: Json) -> str:
    """The message; with field and value of the row where it does not name them itself."""
    said = str(problem["message"])
    path, value = problem.get("path"), problem.get("value")
    if path and path not in said and problem["line"] is not None:
        said = f"{path}: {said}"
    if value and value not in said and value not in said.replace(",", ""):
        said += f"  [{value}]"
    return said


def _verdict(report: Json) -> Text:
    bad = [file for file in report["files"] if any(_is_error(p) for p in file["problems"])]
    rows = sum(file["rows"] for file in report["files"])
    if report["ok"]:
        return Text(f"ok: all {count(rows, 'row')} may be trained on", style="bold green")
    n_bad = sum(file.get("bad_rows", 0) for file in bad)
    said = f"not ok: {count(n_bad, 'row')} of {rows:,} may not be trained on"
    if not n_bad:
        said = f"not ok: {', '.join(file['file'] for file in bad)}"
    return Text(said, style="bold red")


def _is_error(problem: Json) -> bool:
    return bool(problem["severity"] == "error")
