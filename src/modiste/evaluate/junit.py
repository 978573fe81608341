"""A gate's result as CI systems show it: JUnit XML, one test case per condition."""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

from modiste.evaluate.gate_result import Condition, GateResult, Outcome


def junit_xml(result: GateResult) -> str:
    """A condition that failed is a failure, one that could not be decided an error: both are red,
    and they can be told apart."""
    failures = sum(c.outcome is Outcome.FAIL for c in result.conditions)
    errors = sum(c.outcome is Outcome.INSUFFICIENT for c in result.conditions)
    counts = f'tests="{len(result.conditions)}" failures="{failures}" errors="{errors}"'
    name = quoteattr(_clean(str(result.gate.get("name", "gate"))))
    cases = "".join(_case(condition, name) for condition in result.conditions)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<testsuites {counts}>\n<testsuite name={name} {counts}>\n{_properties(result)}{cases}"
        "</testsuite>\n</testsuites>\n"
    )


def _properties(result: GateResult) -> str:
    found = [("gate_sha256", result.gate_sha256), ("outcome", str(result.outcome))]
    found += [("candidate", f"{r.run_id} {r.model_id} {r.suite}") for r in result.candidates]
    found += [("baseline", f"{r.run_id} {r.model_id} {r.suite}") for r in result.baselines]
    lines = "".join(
        f"<property name={quoteattr(name)} value={quoteattr(_clean(value))}/>\n"
        for name, value in found
    )
    return f"<properties>\n{lines}</properties>\n"


def _case(condition: Condition, gate: str) -> str:
    said = _clean(condition.sentence)
    kind = {Outcome.FAIL: "failure", Outcome.INSUFFICIENT: "error"}.get(condition.outcome)
    body = (
        f"<system-out>{escape(said)}</system-out>"
        if kind is None
        else f"<{kind} message={quoteattr(said)} type={quoteattr(str(condition.outcome))}/>"
    )
    return (
        f"<testcase classname={gate} name={quoteattr(_clean(condition.name))}>{body}</testcase>\n"
    )


def _clean(text: str) -> str:
    """Without what no XML may hold, not even escaped."""
    return "".join(
        c if c in "\t\n\r" or "\x20" <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c > "\uffff"
        else "\ufffd"
        for c in text
    )  # fmt: skip
