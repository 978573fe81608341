"""What is done with a file of any bytes, and what must hold whatever they are.

Nothing but a `ModisteError` may be raised; every problem has a code, and a line where it is about a
row; every answer can be written as JSON; what is repaired needs no more repairs.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pathlib import Path

import orjson

from modiste.errors import ModisteError
from modiste.prepare.checks.findings import Input, check_files
from modiste.prepare.convert import convert_files
from modiste.prepare.fix import fix_file
from modiste.prepare.formats.kinds import Format
from modiste.prepare.over_length import OverLength
from modiste.prepare.preview import preview
from modiste.prepare.records import records
from modiste.prepare.render import Renderer
from modiste.prepare.sources.containers import Container, packing_of
from modiste.prepare.sources.locate import Located

CODE = re.compile(r"[a-z][a-z0-9_]*\Z")
OF_FILES = {
    "file_empty", "file_unreadable", "too_many_bad_lines", "more_problems", "no_trainable_tokens",
    "validation_share", "validation_too_large", "extra_missing",
}  # fmt: skip


def walk(path: Path, renderers: Sequence[Renderer | None], rng: random.Random) -> None:
    """Everything a person might do with the file."""
    renderer = rng.choice(renderers)
    seq_len = rng.choice([None, 64, 512])
    over_length = rng.choice(list(OverLength))
    format = rng.choice([None] * 5 + [f for f in Format if f is not Format.COLUMNS])
    _check(path, renderer, seq_len, over_length, format)
    if renderer is not None:
        with_refusal(lambda: orjson.dumps(
            preview(path, filename=path.name, renderer=renderer, seq_len=seq_len).to_json()
        ))  # fmt: skip
    with_refusal(lambda: _convert(path, rng))
    with_refusal(lambda: [r.id for r in records(path, filename=path.name)])
    with_refusal(lambda: _fix(path))


def with_refusal(step: object) -> None:
    try:
        step()  # type: ignore[operator]
    except ModisteError:
        return


def _check(
    path: Path,
    renderer: Renderer | None,
    seq_len: int | None,
    over_length: OverLength,
    format: Format | None,
) -> None:
    file = Input(path, path.name)
    found = check_files(
        [file],
        validation=[file],
        renderer=renderer,
        seq_len=seq_len,
        over_length=over_length,
        format=format,
    )
    orjson.dumps(found.to_json())
    for report in found.reports:
        for problem in report.problems:
            assert CODE.match(problem.code), problem
            assert problem.message, problem
            assert problem.file == path.name, problem
            told_of_file = problem.code in OF_FILES or problem.severity.value == "warning"
            assert problem.line or told_of_file, problem
        assert report.n_examples <= report.n_lines
        if packing_of(path, filename=path.name).container is Container.JSONL:
            assert report.n_examples + len(report.bad_lines) >= report.n_lines


def _convert(path: Path, rng: random.Random) -> None:
    output = path.with_name("converted.jsonl")
    to = rng.choice([None, Format.CHAT, Format.SHAREGPT, Format.ALPACA, Format.TEXT])
    orjson.dumps(convert_files([Located(path, path.name)], output, to=to))


def _fix(path: Path) -> None:
    """In place, so it comes last."""
    orjson.dumps(fix_file(path, filename=path.name).to_json())
    repaired = path.read_bytes()
    again = fix_file(path, filename=path.name)
    assert path.read_bytes() == repaired, "repairs repaired again"
    assert not again.changed, again.to_json()
    check_files([Input(path, path.name)])
