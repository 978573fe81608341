"""The check report as one HTML page: no script, no network, nothing of the data unescaped.

Everything comes from the JSON forms, so a page made here and one made from a stored report are the
same. Files may carry `statistics` and `preview` besides their problems:

    file = report.to_json() | {"statistics": counted.to_json(), "preview": made.to_json()}
    page({"ok": …, "files": [file]})

Long lists end with how many more there are; all of them are in the JSON report.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from modiste.prepare.charts import histogram, number, percent
from modiste.prepare.report_preview import preview_section, visible
from modiste.prepare.report_style import CSS

Json = Mapping[str, Any]

ROWS_SHOWN = 200
"""Problems of one kind in a table."""
OPEN_KINDS = 3
"""Kinds of errors that are unfolded from the start."""
HEADS = {"line": "line", "path": "field", "message": "what", "value": "value"}
CHARTS = {
    "tokens": ("Tokens of each sequence", "tokens"),
    "trained": ("Trained tokens of each sequence", "tokens"),
    "turns": ("Answers of each conversation", "answers"),
    "question": ("Letters asked in each row", "letters"),
    "answer": ("Letters answered in each row", "letters"),
    "text": ("Letters of each text", "letters"),
}


def page(
    report: Json, *, title: str = "Training data", estimates: Sequence[Mapping[str, str]] = ()
) -> str:
    """
    Args:
        report: as `Findings.to_json()` writes it; `tokenizer`, `seq_len` and `modiste_version`
            are shown where they are given.
        estimates: one for each base, its figures as they are to be read, by their names.
    """
    files: Sequence[Json] = report["files"]
    body = [_summary(report, title, files)]
    body += [_file(at, file, report.get("seq_len")) for at, file in enumerate(files)]
    if estimates:
        body.append(_estimates(estimates))
    return document(title, "".join(body), version=str(report.get("modiste_version", "")))


def document(title: str, body: str, *, version: str = "", css: str = "") -> str:
    """A whole page around a body: nothing on it may be fetched, sent or run."""
    footer = f"<footer>Made by Modiste {escape(version)}. Nothing on this page leaves it.</footer>"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        'style-src \'unsafe-inline\'"><meta name="referrer" content="no-referrer">'
        f"<title>{escape(title)}</title><style>{CSS}{css}</style></head>"
        f"<body><main>{body}{footer}</main></body></html>\n"
    )


def kinds(problems: Iterable[Json]) -> list[tuple[str, str, list[Json]]]:
    """Severity, code and problems of each kind: errors first, then by how many there are."""
    found: dict[tuple[str, str], list[Json]] = {}
    for problem in problems:
        found.setdefault((problem["severity"], problem["code"]), []).append(problem)
    ordered = sorted(found.items(), key=lambda kind: (kind[0][0] != "error", -len(kind[1])))
    return [(severity, code, listed) for (severity, code), listed in ordered]


def _summary(report: Json, title: str, files: Sequence[Json]) -> str:
    n_errors, n_warnings = (
        sum(p["severity"] == severity for file in files for p in file["problems"])
        for severity in ("error", "warning")
    )
    verdict = ("good", "every row may be trained on") if report["ok"] else ("error", "not ready")
    tiles = [("rows", sum(file["rows"] for file in files)), ("files", len(files))]
    tiles += [("errors", n_errors), ("warnings", n_warnings)]
    counted = [file["statistics"] for file in files if "tokens" in file.get("statistics", {})]
    shown = [_tile(name, number(value)) for name, value in tiles]
    if counted:
        tokens = sum(each["tokens"] for each in counted)
        trained = sum(each["trained_tokens"] for each in counted)
        shown.append(_tile("tokens", number(tokens)))
        shown.append(_tile("of them trained", percent(trained / tokens if tokens else 0.0)))
    return (
        f'<div class="head"><h1>{escape(title)}</h1>{_pill(*verdict)}</div>'
        f'{_whose_tokens(report)}<div class="tiles">{"".join(shown)}</div>{_links(files)}'
    )


def _whose_tokens(report: Json) -> str:
    tokenizer = report.get("tokenizer")
    if not tokenizer:
        return '<p class="soft small">Checked without a tokenizer: name a base to count tokens.</p>'
    said = f"Tokens of {tokenizer['model']} ({tokenizer['files']})"
    if report.get("seq_len"):
        said += f"; sequences of at most {number(report['seq_len'])} tokens"
    return f'<p class="soft small">{escape(said)}.</p>'


def _links(files: Sequence[Json]) -> str:
    if len(files) < 2:
        return ""
    links = (
        f'<a href="#file{at}">{escape(_name(file["file"])[1])}</a>' for at, file in enumerate(files)
    )
    return f"<nav>{''.join(links)}</nav>"


def _file(at: int, file: Json, seq_len: int | None) -> str:
    n_errors = sum(problem["severity"] == "error" for problem in file["problems"])
    pills = [_pill("plain", f"{number(file['rows'])} rows")]
    if file.get("format"):
        pills.append(_pill("plain", str(file["format"])))
    if file.get("use") == "validation":
        pills.append(_pill("plain", "validation"))
    n_bad, what = (file["bad_rows"], "bad row") if file.get("bad_rows") else (n_errors, "error")
    bad = f"{number(n_bad)} {what}{'s' if n_bad != 1 else ''}"
    pills.append(_pill("error", bad) if n_errors else _pill("good", "ok"))
    folder, name = _name(file["file"])
    said = "; ".join(filter(None, (folder and f"in {folder}", file.get("why"))))
    why = f'<p class="soft small">{escape(said)}</p>' if said else ""
    parts = [f'<div class="head"><h2>{escape(name)}</h2>{"".join(pills)}</div>{why}']
    parts.append(_problems(file["problems"]))
    if file.get("statistics"):
        parts.append(_statistics(file["statistics"], seq_len))
    if file.get("preview"):
        parts.append(preview_section(file["preview"]))
    return f'<section class="card" id="file{at}">{"".join(parts)}</section>'


def _name(file: str) -> tuple[str, str]:
    """Folder and name; names of objects in a store have slashes too."""
    folder, _, name = file.rpartition("/")
    return folder, name or file


def _problems(problems: Sequence[Json]) -> str:
    if not problems:
        return '<h3>Problems</h3><p class="soft">None.</p>'
    shown = [
        _kind(severity, code, listed, unfolded=at < OPEN_KINDS and severity == "error")
        for at, (severity, code, listed) in enumerate(kinds(problems))
    ]
    return f"<h3>Problems</h3>{''.join(shown)}"


def _kind(severity: str, code: str, listed: Sequence[Json], *, unfolded: bool) -> str:
    times = f' <span class="soft small">×{number(len(listed))}</span>' if len(listed) > 1 else ""
    hints = list(dict.fromkeys(p["hint"] for p in listed if p.get("hint")))
    same = hints[0] if len(hints) == 1 else None
    hint = f'<p class="hint small"><b>What to do:</b> {escape(same)}</p>' if same else ""
    more = len(listed) - ROWS_SHOWN
    rest = f'<p class="hint soft small">… and {number(more)} more.</p>' if more > 0 else ""
    return (
        f"<details{' open' if unfolded else ''}><summary>{_pill(severity, code)}{times}"
        f'<span class="first soft small">{escape(listed[0]["message"])}</span></summary>{hint}'
        f"{_table(listed[:ROWS_SHOWN], with_hint=same is None)}{rest}</details>"
    )


def _table(problems: Sequence[Json], *, with_hint: bool) -> str:
    """Columns that would be empty are left out."""
    columns = [("line", "n"), ("path", "path"), ("message", "words"), ("value", "")]
    kept = [(name, kind) for name, kind in columns if any(_given(p, name) for p in problems)]
    head = "".join(f'<th class="{kind}">{HEADS[name]}</th>' for name, kind in kept)
    rows = "".join(
        "<tr>"
        + "".join(
            f'<td class="{kind}">{_cell(problem, name, with_hint)}</td>' for name, kind in kept
        )
        + "</tr>"
        for problem in problems
    )
    return (
        f'<div class="scroll" tabindex="0"><table class="problems"><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _given(problem: Json, name: str) -> bool:
    return problem.get(name) not in (None, "")


def _cell(problem: Json, name: str, with_hint: bool) -> str:
    if not _given(problem, name):
        return ""
    if name == "line":
        return number(problem["line"])
    if name != "message":
        return f"<code>{escape(visible(str(problem[name])))}</code>"
    path = problem.get("path")
    said = escape(
        visible(problem["message"].removeprefix(f"{path}: ") if path else problem["message"])
    )
    if with_hint and problem.get("hint"):
        said += f'<br><span class="soft">{escape(problem["hint"])}</span>'
    return said


def _statistics(counted: Json, seq_len: int | None) -> str:
    facts = [("rows", counted["rows"])]
    facts += [("sequences", counted["samples"])] if "samples" in counted else []
    facts += [
        ("with a system prompt", counted["with_system"]),
        ("with tools", counted["with_tools"]),
    ]
    facts += [("tool calls", counted["tool_calls"])]
    if counted.get("over_length_samples"):
        facts.append(("longer than the sequence length", counted["over_length_samples"]))
    if counted.get("untrained_rows"):
        facts.append(("rows that train nothing", counted["untrained_rows"]))
    tiles = "".join(_tile(name, number(value)) for name, value in facts if value or name == "rows")
    charts = "".join(
        _chart(lengths, *CHARTS[name], limit=seq_len if name == "tokens" else None)
        for name, lengths in counted["lengths"].items()
        if lengths["n"]
    )
    fits = _fits(counted["fits"]) if counted.get("fits") else ""
    return (
        f'<h3>Statistics</h3><div class="tiles" style="margin:0 0 18px">{tiles}</div>'
        f'<div class="charts">{charts}{fits}</div>'
    )


def _chart(lengths: Json, title: str, unit: str, *, limit: int | None) -> str:
    if lengths["min"] == lengths["max"]:
        drawn = histogram(lengths, unit=unit)
        return f"<figure><figcaption>{escape(title)}</figcaption>{drawn}</figure>"
    below = ", ".join(
        f"{name} {number(lengths[key])}"
        for name, key in (("median", "p50"), ("90 %", "p90"), ("99 %", "p99"), ("most", "max"))
    )
    drawn = histogram(lengths, unit=unit, limit=limit)
    widths = {bar["most"] - bar["least"] for bar in lengths["bars"]}
    wider = "; each bar is twice as wide as the one before" if len(widths) > 2 else ""
    return (
        f"<figure><figcaption>{escape(title)}</figcaption>{drawn}"
        f'<div class="below">{below}; {number(lengths["total"])} in all{wider}</div></figure>'
    )


def _fits(shares: Mapping[str, float]) -> str:
    rows = "".join(
        f'<span>{number(int(length))}</span><i><b style="width:{share:.2%}"></b></i>'
        f"<span>{percent(share)}</span>"
        for length, share in shares.items()
    )
    return (
        "<figure><figcaption>Sequences that fit whole into a length</figcaption>"
        f'<div class="fits">{rows}</div></figure>'
    )


def _estimates(estimates: Sequence[Mapping[str, str]]) -> str:
    """Whatever columns they have; all but the first and the last are figures."""
    columns = [name for name in estimates[0] if any(each[name] for each in estimates)]
    kinds = ["", *("n" for _ in columns[1:-1]), ""]
    head = "".join(
        f'<th class="{kind}">{escape(name)}</th>'
        for name, kind in zip(columns, kinds, strict=False)
    )
    rows = "".join(
        "<tr>"
        + "".join(
            f'<td class="{kind}">{escape(each[name] or "–")}</td>'
            for name, kind in zip(columns, kinds, strict=False)
        )
        + "</tr>"
        for each in estimates
    )
    return (
        '<section class="card"><h2>What a training on these rows would take on this machine</h2>'
        '<p class="soft small">≈ read by another tokenizer, estimated from a sample of the texts.'
        f'</p><div class="scroll" tabindex="0"><table class="plan"><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div></section>"
    )


def _tile(name: str, value: str) -> str:
    return f'<div class="tile"><b>{escape(value)}</b><span>{escape(name)}</span></div>'


def _pill(kind: str, text: str) -> str:
    return f'<span class="pill {kind}">{escape(text)}</span>'
