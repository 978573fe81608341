"""What holds between training and validation files: how large they may be, and that they differ.

The API asks that validation files stay under min(1 MB, 5 % of the training files). Above 1 MB is an
error. Above 5 % is only a warning: small sets, the examples of this project among them, could not
have a validation file of any use otherwise.

A validation row that was trained on measures memory, not what was learned. It trains as well as any
other row, so it is a warning; but the loss it helps to report is too good to be true.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from modiste.prepare.checks.repeats import How, Seen, repeats
from modiste.prepare.checks.report import Report
from modiste.types import Problem, Severity

MAX_VALIDATION_BYTES = 1_048_576
VALIDATION_SHARE = 0.05
_HINT = "take it out of one of the two; `modiste data split` makes sets that share nothing"


def size_problem(n_bytes: int, *, trained_bytes: float, names: Sequence[str]) -> Problem | None:
    """Whether validation files are too large for their training files."""
    file = ", ".join(names)
    if n_bytes > MAX_VALIDATION_BYTES:
        text = f"the validation files are {n_bytes:,} bytes, more than {MAX_VALIDATION_BYTES:,}"
        hint = "evaluation would take longer than training; keep a sample of the rows"
        return Problem(file, None, "validation_files", "validation_too_large", text, hint=hint)
    if n_bytes > VALIDATION_SHARE * trained_bytes:
        share = n_bytes / max(1, trained_bytes)
        text = f"the validation files are {share:.0%} of the training files"
        hint = "5 % is usual; every evaluation reads all of it"
        return Problem(
            file,
            None,
            "validation_files",
            "validation_share",
            text,
            hint=hint,
            severity=Severity.WARNING,
        )
    return None


def leaks(train: Sequence[Report], validation: Report) -> Iterator[Problem]:
    """Rows of a validation file that stand in a training file, in these words or nearly."""
    if validation.seen is None:
        return
    known = [(r.seen, r.filename) for r in train if r.seen is not None]
    files: list[Seen] = [*(seen for seen, _ in known), validation.seen]
    for line, file, first, how, similarity in repeats(files):
        if file == len(known):
            continue
        of = f"line {first} of {known[file][1]}, which is trained on"
        if how is How.NEAR:
            code, text = "leaked_nearly", f"the row is nearly {of} ({similarity:.0%} alike)"
        else:
            but = "" if how is How.EXACT else ", but for case and spacing"
            code, text = "leaked_row", f"the row is {of}{but}"
        name = validation.filename
        yield Problem(name, line, "", code, text, hint=_HINT, severity=Severity.WARNING)
    if n_rows := validation.seen.n_left_out + sum(seen.n_left_out for seen, _ in known):
        text = f"{n_rows:,} rows were not compared between training and validation"
        yield Problem(
            validation.filename, None, "", "rows_not_compared", text, severity=Severity.WARNING
        )
