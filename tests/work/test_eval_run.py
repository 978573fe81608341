"""The child's bookkeeping: a sample is on the disk before it is counted, and is counted once."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modiste.errors import InvalidInput, Unavailable
from modiste.evaluate.items import Answer, Failure, Item, Sample, scored
from modiste.evaluate.metric import Metric
from modiste.types import EvalCounts
from modiste.work import eval_run, journal
from modiste.work.eval_run import MAX_FAILURES_IN_A_ROW, Progress, Stopped, samples_in
from modiste.work.journal import Journal


def sample(n: int, *, failed: str | None = None, text: str = "x") -> Sample:
    failure = None if failed is None else Failure(failed, "said so.")
    answer = Answer(text, prompt_tokens=2, completion_tokens=1, cost_micro=4, failure=failure)
    return Sample(Item(f"r{n}", {}), 0, (), answer, {} if failed else {"exact": scored(1.0)})


def progress(folder: Path, n: int = 200) -> Progress:
    places = {(f"r{at}", 0): at for at in range(n)}
    return Progress(folder, Journal(folder / journal.NAME), places, EvalCounts(total=n))


def test_a_sample_is_in_the_journal_when_it_is_counted(tmp_path: Path) -> None:
    kept = progress(tmp_path)
    for n in (4, 0, 2):
        kept.keep(sample(n))
        assert len(list(journal.entries(tmp_path / journal.NAME))) == kept.counts.done
    assert kept.counts == EvalCounts(200, 3, 0, 6, 3, 12)
    assert [s.item.key for s in samples_in(tmp_path / journal.NAME)] == ["r4", "r0", "r2"]


def test_a_sample_that_was_written_twice_is_read_once(tmp_path: Path) -> None:
    kept = progress(tmp_path)
    for text in ("first", "second"):
        kept.keep(sample(1, text=text))
    assert [s.answer.text for s in samples_in(tmp_path / journal.NAME)] == ["first"]


def test_half_a_line_of_a_killed_child_is_cut_off(tmp_path: Path) -> None:
    kept = progress(tmp_path)
    kept.keep(sample(0))
    with (tmp_path / journal.NAME).open("ab") as torn:
        torn.write(b'1 + {"item": {"k')
    again = progress(tmp_path)
    again.keep(sample(1))
    assert [s.item.key for s in samples_in(tmp_path / journal.NAME)] == ["r0", "r1"]


def test_text_no_encoding_holds_ends_no_run(tmp_path: Path) -> None:
    kept = progress(tmp_path)
    kept.keep(sample(0, text="half \ud83d"))
    [read] = samples_in(tmp_path / journal.NAME)
    assert read.answer.text == "half \ufffd"


def test_many_failures_in_a_row_end_the_run_with_what_they_said(tmp_path: Path) -> None:
    kept = progress(tmp_path)
    for n in range(MAX_FAILURES_IN_A_ROW - 1):
        kept.keep(sample(n, failed="unavailable"))
    kept.keep(sample(60))
    for n in range(100, 100 + MAX_FAILURES_IN_A_ROW - 1):
        kept.keep(sample(n, failed="timeout"))
    with pytest.raises(Stopped):
        kept.keep(sample(199, failed="timeout"))
    assert kept.error is not None
    assert kept.error.code == "timeout"
    assert "50 requests in a row" in kept.error.message
    assert "said so. Samples so far are kept" in kept.error.message
    assert kept.counts.done == 100


@pytest.mark.parametrize("code", ["prompt_invalid", "context_length_exceeded"])
def test_rows_that_cannot_be_asked_say_nothing_of_the_model(tmp_path: Path, code: str) -> None:
    kept = progress(tmp_path)
    for n in range(150):
        kept.keep(sample(n, failed=code))
    assert (kept.error, kept.counts.failed) == (None, 150)


async def _group(*errors: Exception) -> None:
    async def broken(error: Exception) -> None:
        raise error

    async with asyncio.TaskGroup() as group:
        for error in errors:
            group.create_task(broken(error))


def test_a_run_that_stopped_itself_is_quiet_and_one_that_broke_tells_its_cause() -> None:
    asyncio.run(eval_run._quiet(_group(Stopped(), Stopped())))
    with pytest.raises(OSError, match="no space left"):
        asyncio.run(eval_run._quiet(_group(Stopped(), OSError("no space left"))))
    with pytest.raises(Unavailable, match="gone"):
        asyncio.run(eval_run._quiet(_group(Unavailable("gone"), OSError("later"))))


def test_the_figure_that_decides_is_one_there_is() -> None:
    class Named:
        name = "labels"

    class Decides:
        primary: str | None = None

    figures = [Metric("labels", name, None) for name in ("accuracy", "macro_f1")]

    def primary(wanted: str | None) -> str:
        suite: Any = Decides()
        suite.primary = wanted
        scorers: Any = [Named()]
        return eval_run._primary(suite, scorers, figures)

    assert primary(None) == primary("labels") == "labels.accuracy"
    assert primary("labels.macro_f1") == "labels.macro_f1"
    with pytest.raises(InvalidInput, match=r"the figures are labels\.accuracy, labels\.macro_f1"):
        primary("labels.recall")


def test_counts_are_told_once_they_are_on_the_disk(tmp_path: Path) -> None:
    async def tell() -> None:
        kept = progress(tmp_path)
        kept.keep(replace(sample(3)))
        telling = asyncio.create_task(kept.tell())
        while not (tmp_path / "eval-state.json").exists():
            await asyncio.sleep(0.01)
        telling.cancel()

    asyncio.run(asyncio.wait_for(tell(), 10))
    told = json.loads((tmp_path / "eval-state.json").read_text())
    assert (told["counts"]["done"], told["running"], told["ended"]) == (1, True, False)
