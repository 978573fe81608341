"""Rows with labels to samples for the trainer. No torch here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from modiste.errors import ModisteError, TuningFailed
from modiste.prepare import classified
from modiste.prepare.render import Renderer
from modiste.prepare.targets import Numbers
from modiste.tune.mixture import Samples
from modiste.types import ClassifierTarget, Example
from modiste.work.training_rows import DataFile, examples


def samples(
    files: Iterable[DataFile],
    renderer: Renderer,
    targets: Sequence[ClassifierTarget],
    max_length: int,
) -> Samples:
    """The rows of the files, in their order.

    Raises:
        TuningFailed: a file cannot be read, or a line that should be good is not.
    """
    numbers = Numbers(targets)
    origins: list[tuple[str, int]] = []

    def rows() -> Iterator[tuple[Sequence[int], Sequence[int]]]:
        for file in files:
            for example in examples(file, labels=True):
                origins.append((file.filename, example.line))
                yield _row(file, example, renderer, numbers, max_length)

    return Samples.with_labels(rows(), origins=origins)


def _row(
    file: DataFile, example: Example, renderer: Renderer, numbers: Numbers, max_length: int
) -> tuple[Sequence[int], Sequence[int]]:
    where = f"{file.filename} line {example.line}"
    if unfit := numbers.unfit(example):
        raise TuningFailed(f"{where}: {unfit[0].message}", code="invalid_data")
    try:
        rendered = classified.rendered(example, renderer)
    except ModisteError as error:
        raise TuningFailed(f"{where}: {error.message}", code="invalid_data") from error
    if rendered.n_tokens > max_length:
        raise TuningFailed(
            f"{where}: the row takes {rendered.n_tokens} tokens, a sequence has room for "
            f"{max_length}; shorten it, leave it out or raise seq_len",
            code="sample_too_long",
        )
    return rendered.ids, numbers.held(example)
