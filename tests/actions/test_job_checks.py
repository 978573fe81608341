"""What files come to: skipped rows, refusals with every problem, sizes, estimates."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from modiste import settings as settings_module
from modiste.actions import job_checks
from modiste.actions.job_checks import DataFile, Found
from modiste.tune.plan import Plan
from modiste.tune.spec import TuneSpec, parse
from modiste.types import Hyperparameters, JobError, Severity

TINY = Path(settings_module.__file__).parent / "bases" / "tiny"
GOOD = {"messages": [{"role": "user", "content": "a?"}, {"role": "assistant", "content": "b."}]}
BAD = {"messages": [{"role": "bot", "content": "a?"}]}
SILENT = {"messages": [GOOD["messages"][0], GOOD["messages"][1] | {"weight": 0}]}  # type: ignore[operator]


@pytest.fixture
def write(tmp_path: Path):  # type: ignore[no-untyped-def]
    def file(name: str, *rows: object) -> DataFile:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return DataFile(name, path, name)

    return file


def spec(**values: object) -> TuneSpec:
    return parse({"model": "modiste-tiny", "data": {"train": [{"file_id": "t"}]}, **values}).spec


def look(
    train: list[DataFile],
    validation: Sequence[DataFile] = (),
    **values: object,
) -> tuple[Found, Plan]:
    wanted = spec(**values)
    found = job_checks.read(wanted, TINY, train=train, validation=validation)
    made = job_checks.planned(
        wanted, found, tokens_per_s=1000.0, price_micro_per_million_tokens=2_000_000
    )
    return found, made


def refused(found: Found, made: Plan, skip: float = 0.0) -> JobError:
    error = job_checks.refusal(found, made, skip_fraction=skip)
    assert error is not None
    return error


def test_good_files_can_be_trained_and_counted(write) -> None:  # type: ignore[no-untyped-def]
    found, made = look([write("t", *[GOOD] * 10)], [write("v", GOOD)], max_steps=4)
    assert job_checks.refusal(found, made, skip_fraction=0.0) is None
    assert found.n_examples == 10
    assert 0 < found.n_trained_tokens < found.n_tokens
    assert found.n_validation_tokens == found.n_tokens // 10
    estimate = job_checks.estimate_of(made, currency="EUR")
    assert estimate.training_steps == 4
    assert estimate.cost_micro == made.train_tokens * 2
    assert (estimate.data_tokens, estimate.cost_currency) == (found.n_tokens, "EUR")


def test_sequences_have_room_for_the_longest_validation_row(write) -> None:  # type: ignore[no-untyped-def]
    long = {"messages": [{"role": "user", "content": "a " * 600}, GOOD["messages"][1]]}  # type: ignore[operator]
    _, made = look([write("t", *[GOOD] * 200)], [write("v", long)])
    found, alone = look([write("t", *[GOOD] * 200)])
    assert found.longest < 256
    assert alone.spec.max_length == 256
    assert made.spec.max_length == 1024


def test_every_bad_row_is_named_with_what_to_do(write) -> None:  # type: ignore[no-untyped-def]
    found, made = look([write("t.jsonl", *[GOOD] * 97, BAD, BAD, BAD)])
    error = refused(found, made)
    assert "3 of 100 training rows are invalid (3.0%, allowed 0.0%)" in error.message
    assert "set invalid_sample_skip_percentage to 0.04 or more" in error.message
    assert "t.jsonl line 98: " in error.message
    assert {problem.line for problem in error.problems} == {98, 99, 100}


@pytest.mark.parametrize(("n_bad", "allowed"), [(1, True), (10, True), (11, False)])
def test_up_to_the_allowed_fraction_bad_rows_are_left_out(  # type: ignore[no-untyped-def]
    write, n_bad: int, allowed: bool
) -> None:
    found, made = look([write("t", *[BAD] * n_bad, *[GOOD] * (100 - n_bad))])
    assert (job_checks.refusal(found, made, skip_fraction=0.1) is None) is allowed
    if allowed:
        said = job_checks.note(found, skip_fraction=0.1)
        assert f"{n_bad} of 100 training rows are invalid and left out" in said


def test_the_fraction_counts_over_all_training_files_and_apart_for_validation(  # type: ignore[no-untyped-def]
    write,
) -> None:
    train = [write("a", *[GOOD] * 19), write("b", BAD)]
    found, made = look(train, [write("v", *[GOOD] * 19, BAD)])
    assert job_checks.refusal(found, made, skip_fraction=0.05) is None
    found, made = look(train, [write("v", GOOD, BAD)])
    error = refused(found, made, 0.05)
    assert "1 of 2 validation rows" in error.message
    assert "training rows" not in error.message


def test_more_than_half_bad_cannot_be_skipped_and_no_such_advice_is_given(write) -> None:  # type: ignore[no-untyped-def]
    found, made = look([write("t", GOOD, BAD, BAD)])
    error = refused(found, made, 0.5)
    assert "2 of 3 training rows" in error.message
    assert "invalid_sample_skip_percentage" not in error.message


def test_a_job_with_nothing_to_train_says_so_whatever_may_be_skipped(write) -> None:  # type: ignore[no-untyped-def]
    found, made = look([write("t", SILENT, SILENT)])
    error = refused(found, made, 0.5)
    assert error.code == "no_trainable_tokens"
    assert "weight" in error.message


def test_a_long_list_is_shortened_in_the_message_and_whole_in_the_problems(write) -> None:  # type: ignore[no-untyped-def]
    found, made = look([write("t", GOOD, *[BAD] * 40)])
    error = refused(found, made)
    assert len(error.problems) >= 40
    assert f"and {len(error.problems) - job_checks.SHOWN} more" in error.message
    assert len(error.message) < 1500


def test_a_row_longer_than_the_sequence_is_bad(write) -> None:  # type: ignore[no-untyped-def]
    long = {"messages": [GOOD["messages"][0], {"role": "assistant", "content": "word " * 500}]}
    found, made = look([write("t", GOOD, long)], max_length=128)
    assert [problem.code for problem in refused(found, made).problems] == ["too_long"]


def test_a_validation_file_over_a_megabyte_is_refused(write) -> None:  # type: ignore[no-untyped-def]
    row = {"messages": [GOOD["messages"][0], {"role": "assistant", "content": "x" * 2000}]}
    found, made = look([write("t", *[GOOD] * 5)], [write("v", *[row] * 520)])
    error = refused(found, made)
    assert "1,0" in error.message
    assert "validation_too_large" in {problem.code for problem in error.problems}


def test_a_validation_file_over_five_percent_is_only_a_warning(write) -> None:  # type: ignore[no-untyped-def]
    found, made = look([write("t", *[GOOD] * 10)], [write("v", GOOD)])
    assert job_checks.refusal(found, made, skip_fraction=0.0) is None
    assert [w.severity for w in found.warnings if w.code == "validation_share"] == [
        Severity.WARNING
    ]
    assert "10% of the training files" in job_checks.note(found, skip_fraction=0.0)
    found, _ = look([write("t", *[GOOD] * 20)], [write("v", GOOD)])
    assert [w for w in found.warnings if w.code == "validation_share"] == []


def test_what_was_left_open_is_filled_in(write) -> None:  # type: ignore[no-untyped-def]
    _, made = look([write("t", *[GOOD] * 10)], max_steps=4)
    filled = job_checks.filled(Hyperparameters(training_steps=4), made)
    assert (filled.training_steps, filled.epochs) == (4, made.epochs)
    assert (filled.seq_len, filled.batch_size) == (made.spec.max_length, made.spec.batch_size)
    _, made = look([write("t", *[GOOD] * 10)], epochs=2.0)
    filled = job_checks.filled(Hyperparameters(epochs=2.0), made)
    assert (filled.training_steps, filled.epochs) == (made.training_steps, 2.0)
