"""All problems of a training file, with line and field, in one pass and never a traceback.

`json_problems` asks only whether a file is JSON lines at all (uploads). `check_file` asks whether
it trains: rows, conversation rules, tools and, with a renderer, tokens. Rows stream through; what
is kept are problems, numbers of bad lines, counts, and some bytes per row to know repeats.

JSON lines are cut into blocks that several processes can read side by side. One process reads the
same blocks in the same way, so the answer does not depend on how many there are. What comes in
other containers, or in rows of several lines, is read by one process.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from modiste.prepare.checks import repeats
from modiste.prepare.checks.blocks import Block, blocks, lines
from modiste.prepare.checks.parallel import ordered
from modiste.prepare.checks.report import Report, Tally
from modiste.prepare.checks.rows import Wants, check_rows
from modiste.prepare.formats.chat import sample_type_of
from modiste.prepare.formats.columns import Columns
from modiste.prepare.formats.kinds import Format
from modiste.prepare.formats.read import Read, Told, parse_row, read, tell
from modiste.prepare.formats.row import Row
from modiste.prepare.over_length import OverLength
from modiste.prepare.render import Renderer
from modiste.prepare.sources.containers import Container
from modiste.prepare.sources.items import BREAKS, broken, opened
from modiste.prepare.sources.jsonl import RawLine, parse_json, read_rows
from modiste.types import Problem, SampleType, Severity

__all__ = ["OverLength", "Progress", "Report", "check_file", "json_problems"]

MAX_PROBLEMS = 10_000
"""Problems told one by one; further ones are counted."""
MAX_BAD_LINES = 1_000_000
"""Reading stops here: such a file is something else than training data."""
REPEATED = frozenset({"row_repeated", "text_repeated", "near_repeated"})
ROWS_AT_ONCE = 4_096
"""Of files that are not read in blocks."""
GARBAGE = 50_000
"""Objects made before Python looks for cycles among them."""


class Progress(NamedTuple):
    filename: str
    done_bytes: int
    total_bytes: int


class _Work(NamedTuple):
    """A block to check, and what its file was known to hold before it."""

    block: Block
    sample_type: SampleType | None


def json_problems(path: Path, filename: str) -> Report:
    """Whether a file is JSON lines; every malformed line is one problem, warnings are left out."""
    tally = Tally(filename, MAX_PROBLEMS)
    with path.open("rb") as stream:
        for raw in _counted(read_rows(stream, file=filename), tally):
            parsed = parse_json(raw, file=filename)
            if parsed.problem:
                tally.error(parsed.problem)
                continue
            tally.sample_type = tally.sample_type or sample_type_of(parsed.value)
            tally.n_examples += 1
    _stop_words(tally)
    tally.shared.clear()
    return tally.report()


def check_file(
    path: Path,
    *,
    filename: str,
    renderer: Renderer | None = None,
    seq_len: int | None = None,
    over_length: OverLength | str = OverLength.REFUSE,
    workers: int = 1,
    format: Format | None = None,
    columns: Columns | None = None,
    inspect: bool = True,
    near: bool = True,
    on_progress: Callable[[Progress], None] | None = None,
) -> Report:
    """Everything that is wrong with a training file.

    Args:
        renderer: of the base to be tuned; without one, tokens are not counted and rules that
            differ between chat formats are not applied.
        seq_len: longest sample in tokens; plain texts are cut there.
        over_length: whether longer conversations are errors, or cut between turns.
        workers: processes that read side by side where the file is large and JSON lines.
        format: what the rows are; None tells it from the file.
        inspect: remark on what rows hold (private data, teachers' phrases, languages, …).
        near: look for rows that are nearly the same.
        on_progress: called after every block.
    """
    told = tell(path, filename=filename, format=format, columns=columns)
    wants = Wants(
        filename,
        MAX_PROBLEMS,
        renderer,
        seq_len,
        OverLength(over_length),
        told.format,
        told.columns,
        inspect,
        near,
        _special_tokens(renderer) if inspect else (),
    )
    tally = wants.tally()
    total = path.stat().st_size if on_progress and path.is_file() else 0

    def progress(done: int) -> None:
        if on_progress:
            on_progress(Progress(filename, min(done, total), total))

    by_line = told.container is Container.JSONL and told.format is not Format.CHAT_TABLE
    parts = _by_block(path, told, wants, tally, workers, progress) if by_line else None
    with _few_collections():
        for part in parts or _by_row(path, told, wants, tally):
            tally.merge(part)
            if tally.stopped or len(tally.bad_lines) >= MAX_BAD_LINES:
                break
    progress(total)
    _stop_words(tally)
    _whole_file(tally)
    return tally.report(format=told.format, why=told.why)


@contextmanager
def _few_collections() -> Iterator[None]:
    """Rows make no cycles, and looking for some in all that is alive takes an eighth of the time.

    Processes that are forked meanwhile keep to it.
    """
    before = gc.get_threshold()
    gc.set_threshold(GARBAGE, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _by_block(
    path: Path,
    told: Told,
    wants: Wants,
    tally: Tally,
    workers: int,
    progress: Callable[[int], None],
) -> Iterator[Tally]:
    """A tally for each block. The first ones are read here, until a row has shown its kind."""

    def check(work: _Work) -> Tally:
        part = wants.tally(work.sample_type)
        raws = _counted(lines(work.block, file=wants.filename), part)
        check_rows(_reads(raws, wants), wants, part)
        if part.seen:
            part.seen.settle()
        return part

    after = 0

    def cut(stream: Iterator[Block], position: Callable[[], int]) -> Iterator[_Work]:
        nonlocal after
        for block in stream:
            yield _Work(block, tally.sample_type)
            after = block.first_line + block.data.count(b"\n") - 1
            progress(position())

    try:
        with path.open("rb") as plain, opened(path, told.gzipped) as stream:
            works = cut(blocks(stream), plain.tell if not told.gzipped else lambda: 0)
            for work in works:
                yield check(work)
                if tally.sample_type is not None or tally.stopped:
                    break
            yield from ordered(check, works, workers=workers)
    except BREAKS as error:
        part = wants.tally()
        part.error(broken(error, file=wants.filename, after=after))
        yield part


def _by_row(path: Path, told: Told, wants: Wants, tally: Tally) -> Iterator[Tally]:
    reading = read(
        path,
        filename=wants.filename,
        format=told.format,
        container=told.container,
        columns=told.columns,
    )
    while batch := list(islice(reading.rows, ROWS_AT_ONCE)):
        part = wants.tally(tally.sample_type)
        part.n_lines = sum(map(_is_row, batch))
        check_rows(batch, wants, part)
        yield part


def _is_row(read: Read) -> bool:
    """Not so for what is only remarked about the document that holds the rows."""
    problems = read.row.problems
    return not problems or any(problem.severity is Severity.ERROR for problem in problems)


def _reads(raws: Iterable[RawLine], wants: Wants) -> Iterator[Read]:
    file, format, columns = wants.filename, wants.format, wants.columns
    for raw in raws:
        value, problem = parse_json(raw, file=file)
        if problem is not None:
            yield Read(raw.line, raw.text, None, Row(None, (problem,)))
        else:
            row = parse_row(value, file=file, line=raw.line, format=format, columns=columns)
            yield Read(raw.line, raw.text, value, row)


def _counted(raws: Iterable[RawLine], tally: Tally) -> Iterator[RawLine]:
    """Lines with something on them, until nothing good can come any more."""
    for raw in raws:
        if raw.problem is None and not raw.text.strip():
            tally.warn(raw.line, "", "blank_line", "the line is blank")
            continue
        tally.n_lines += 1
        tally.stopped |= raw.problem is not None and raw.problem.code == "file_not_text"
        yield raw
        if len(tally.bad_lines) >= MAX_BAD_LINES:
            return


def _stop_words(tally: Tally) -> None:
    if len(tally.bad_lines) >= MAX_BAD_LINES:
        text = f"stopped reading after {MAX_BAD_LINES:,} bad lines"
        tally.error(Problem(tally.filename, None, "", "too_many_bad_lines", text))
    elif tally.n_lines == 0 and not tally.errors:
        tally.error(Problem(tally.filename, None, "", "file_empty", "the file holds no rows"))


def _whole_file(tally: Tally) -> None:
    """What only the whole file shows."""
    if tally.n_examples and not tally.n_trainable:
        text = "no token of the file would be trained: every answer has weight 0 or cannot be "
        text += "asked for"
        tally.error(Problem(tally.filename, None, "", "no_trainable_tokens", text))
    if tally.ledger is not None:
        tally.places = tally.label_places
        for remark in tally.ledger.remarks():
            tally.say(remark.problem(tally.filename))
        tally.places = None
    if tally.seen is not None:
        for problem in repeat_problems([tally.seen], [tally.filename]):
            tally.say(problem)


def repeat_problems(files: list[repeats.Seen], names: list[str]) -> Iterator[Problem]:
    """Rows of the last file that repeat rows before them, in it or in the files before it."""
    name, seen = names[-1], files[-1]
    for line, file, first, how, similarity in repeats.repeats(files):
        of = f"line {first}" if file == len(files) - 1 else f"line {first} of {names[file]}"
        if how is repeats.How.EXACT:
            code, text = "row_repeated", f"the row repeats {of}"
        elif how is repeats.How.NORMAL:
            code, text = "text_repeated", f"the row says what {of} says, but for case and spacing"
        else:
            code, text = "near_repeated", f"the row is nearly {of} ({similarity:.0%} alike)"
        yield _warning(name, line, code, text, "`modiste data dedup` keeps one of them")
    if seen.n_left_out:
        text = f"{seen.n_left_out:,} rows were not looked for repeats, only the first "
        text += f"{repeats.MAX_ROWS:,}"
        yield _warning(name, None, "rows_not_compared", text, "use `modiste data dedup`")
    elif seen.n_unsketched:
        text = f"{seen.n_unsketched:,} rows were not looked for near-repeats, only the first "
        text += f"{repeats.MAX_SKETCHES:,} or fewer"
        yield _warning(name, None, "rows_not_compared", text, "use `modiste data dedup`")


def _warning(file: str, line: int | None, code: str, text: str, hint: str) -> Problem:
    return Problem(file, line, "", code, text, hint=hint, severity=Severity.WARNING)


def _special_tokens(renderer: Renderer | None) -> tuple[str, ...]:
    if renderer is None:
        return ()
    names = (renderer.token_name(token_id) for token_id in range(renderer.vocab_size))
    return tuple(name for name in names if name)
