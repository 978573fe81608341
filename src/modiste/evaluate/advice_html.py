"""One page that says whether a system prompt is enough: quality, tokens, cost, break-even."""

from __future__ import annotations

from html import escape

from modiste.evaluate.advice import PER, Advice, Option
from modiste.evaluate.report_css import CSS
from modiste.evaluate.report_html import figure_table
from modiste.evaluate.report_parts import card, pill, record_table
from modiste.prepare.charts import number
from modiste.prepare.report_html import document


def advice_page(found: Advice) -> str:
    suite = found.options[0].run.record.suite
    title = f"{suite}: is a system prompt enough?"
    best = found.recommended
    answer = pill("warning", "not decided") if best is None else pill("good", best.way.value)
    body = [
        f'<div class="head"><h1>{escape(title)}</h1>{answer}</div>',
        f'<p class="lead">{escape(found.sentence)}</p>',
        card("Quality", _quality(found), under=_decides(found)),
        card("What a request takes", _expenses(found), under=_priced(found)),
        card("When tuning has paid for itself", _lines(found.break_even))
        if found.break_even
        else "",
        card("Against the least effort", _lines(_against(found))),
        card(
            "What it rests on",
            record_table(
                [option.run.record for option in found.options],
                [option.subject for option in found.options],
            ),
        ),
    ]
    version = found.options[0].run.record.code_version
    return document(title, "".join(body), version=version, css=CSS)


def named(option: Option) -> str:
    """What it is, and what the suite calls it where that says more."""
    same = option.subject == option.way
    return str(option.way) if same else f"{option.way}: {option.subject}"


def cost_shown(option: Option, found: Advice) -> str:
    """Of `PER` requests."""
    cost = None if option.taken is None else option.taken.cost_micro
    return "not known" if cost is None else f"{cost * PER / 1e6:,.4g} {found.prices.currency}"


def _quality(found: Advice) -> str:
    rows = [
        (
            named(option),
            option.primary.estimate,
            option.primary.n_unscored,
            option.primary.notes,
        )
        for option in found.options
    ]
    return figure_table(rows, found.options[0].primary.unit, head="way")


def _decides(found: Advice) -> str:
    primary = found.options[0].primary
    better = "higher" if primary.higher_is_better else "lower"
    return f"{primary.id}, {better} is better; ways that take less effort stand first."


def _expenses(found: Advice) -> str:
    heads = ("prompt tokens", "answer tokens", "median latency", "machine time", f"cost of {PER:,}")
    head = "".join(f'<th class="n">{escape(name)}</th>' for name in heads)
    rows = "".join(
        f"<tr><td>{escape(named(option))}</td>{_row(option, found)}</tr>"
        for option in found.options
    )
    return f"<table><thead><tr><th>way</th>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _row(option: Option, found: Advice) -> str:
    took = option.taken
    if took is None:
        return '<td colspan="5">nothing was answered</td>'
    cells = (
        number(round(took.prompt_tokens)),
        number(round(took.completion_tokens)),
        f"{took.latency_s:.3f} s",
        f"{took.machine_s * 1000:,.1f} ms",
        cost_shown(option, found),
    )
    return "".join(f'<td class="n">{escape(cell)}</td>' for cell in cells)


def _priced(found: Advice) -> str:
    load = max(option.run.record.concurrency for option in found.options)
    hour = found.prices.hour_micro
    priced = (
        "The machine's time has no price here: name one to see costs of local models."
        if hour is None
        else f"An hour of the machine is counted as {hour / 1e6:,.2f} {found.prices.currency}."
    )
    return (
        f"Means of a request, with up to {load} at a time; latency is of that load. Machine time "
        f"is the run's wall time over its answers, loading the model included. {priced}"
    )


def _against(found: Advice) -> list[str]:
    return [
        f"{option.way} ({option.subject}): {option.against.primary.decision.sentence}."
        for option in found.options
        if option.against is not None
    ]


def _lines(said: list[str] | tuple[str, ...]) -> str:
    return "".join(f"<p>{escape(line)}</p>" for line in said)
