from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from modiste.prepare.checks import report as module
from modiste.prepare.checks.report import Tally
from modiste.types import Problem, Severity

WARNING, ERROR = Severity.WARNING, Severity.ERROR


def problem(line: int, code: str, severity: Severity = WARNING, path: str = "") -> Problem:
    return Problem("f", line, path, code, f"{code} happened", severity=severity)


def tally(*problems: Problem, most: int = 1_000) -> Tally:
    made = Tally("f", most)
    for one in problems:
        made.say(one)
    return made


def test_what_lines_share_is_told_once_and_the_rest_line_by_line():
    report = tally(
        problem(1, "key_ignored", path="id"),
        problem(1, "email"),
        problem(2, "key_ignored", path="id"),
        problem(2, "email"),
    ).report()

    assert [(p.line, p.code, p.message) for p in report.problems] == [
        (1, "key_ignored", "key_ignored happened (and 1 more lines like this)"),
        (1, "email", "email happened"),
        (2, "email", "email happened"),
    ]


def test_what_is_not_told_any_more_is_counted(monkeypatch):
    monkeypatch.setattr(module, "MAX_WARNINGS", 2)

    report = tally(*[problem(n, "email") for n in range(1, 6)]).report()

    assert [p.line for p in report.problems] == [1, 2, None]
    assert report.problems[-1].message == "and 3 more lines with email"


def test_errors_make_lines_bad_and_come_first():
    report = tally(problem(1, "email"), problem(2, "bad", ERROR)).report()

    assert [p.code for p in report.problems] == ["bad", "email"]
    assert report.bad_lines == {2}
    assert report.to_json()["bad_rows"] == 1


CODES = st.sampled_from(["key_ignored", "email", "secret"])
PROBLEMS = st.lists(st.tuples(CODES, st.sampled_from([WARNING, ERROR])), max_size=12)


@given(PROBLEMS, st.lists(st.integers(0, 12), max_size=3), st.integers(1, 4), st.integers(1, 4))
def test_parts_joined_say_what_the_whole_says(kinds, cuts, most, most_warnings):
    problems = [problem(n, code, severity) for n, (code, severity) in enumerate(kinds, 1)]
    before, module.MAX_WARNINGS = module.MAX_WARNINGS, most_warnings
    try:
        joined, at = tally(most=most), 0
        for cut in [*sorted(cuts), len(problems)]:
            joined.merge(tally(*problems[at:cut], most=most))
            at = max(at, cut)
        assert joined.report() == tally(*problems, most=most).report()
    finally:
        module.MAX_WARNINGS = before
