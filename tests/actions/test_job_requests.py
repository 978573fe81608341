"""Every wrong field of a request is named in one answer; what comes later is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from modiste.actions import job_requests
from modiste.actions.job_requests import Request
from modiste.errors import InvalidInput, NotYetSupported
from modiste.store.database import Database
from modiste.types import (
    Actor,
    ClassifierTarget,
    File,
    Hyperparameters,
    JobType,
    TrainingFile,
)

Upload = Callable[..., File]
Check = Callable[..., Request]


@pytest.fixture
def check(database: Database, admin: Actor, upload: Upload) -> Check:
    """`check(**changes)` of a request that is right."""
    file = upload()

    def run(**changes: Any) -> Request:
        wanted = {"model": "modiste-tiny", "training_files": [TrainingFile(file.id)], **changes}
        with database.transaction(write=False) as tx:
            return job_requests.checked(tx, admin, wanted)  # type: ignore[arg-type]

    return run


def test_a_right_request_is_carried_out_as_asked(check: Check) -> None:
    request = check(hyperparameters=Hyperparameters(epochs=2.5), auto_start=True)
    assert (request.base.id, request.auto_start) == ("modiste-tiny", True)
    assert request.hyperparameters.epochs == 2.5


def test_all_problems_come_in_one_answer(check: Check) -> None:
    with pytest.raises(InvalidInput) as told:
        check(
            model="gpt-5",
            training_files=[TrainingFile("no-such-file", -1.0)],
            hyperparameters=Hyperparameters(training_steps=0, learning_rate=2.0),
            suffix="a:b",
            invalid_sample_skip_fraction=0.6,
            metadata={"k": "v" * 513},
            integrations=[{"type": "neptune"}, {"type": "wandb"}],
        )
    for words in (
        "'gpt-5' is not installed",
        "training_files names 'no-such-file'",
        "weight of 'no-such-file' is -1",
        "training_steps is 0",
        "learning_rate is 2: expected 1e-08 to 1",
        "suffix is 'a:b'",
        "invalid_sample_skip_percentage is 0.6",
        "metadata['k']",
        "integrations[0].type is 'neptune'",
        "integrations[1].project is missing",
    ):
        assert words in told.value.message


@pytest.mark.parametrize(
    ("changes", "param", "code"),
    [
        ({"model": "gpt-5"}, "model", "model_not_available"),
        ({"training_files": []}, "training_files", "training_files_missing"),
        ({"validation_files": ["nothing"]}, "validation_files", "file_not_found"),
        ({"suffix": "x" * 65}, "suffix", "invalid_input"),
        ({"hyperparameters": Hyperparameters(epochs=0.0)}, "hyperparameters.epochs", None),
        (
            {"hyperparameters": Hyperparameters(learning_rate=float("nan"))},
            "hyperparameters.learning_rate",
            None,
        ),
        ({"metadata": {str(n): "v" for n in range(17)}}, "metadata", None),
    ],
)
def test_the_first_problem_names_its_field(
    check: Check, changes: dict[str, Any], param: str, code: str | None
) -> None:
    with pytest.raises(InvalidInput) as told:
        check(**changes)
    assert told.value.param == param
    assert told.value.error_code == (code or "invalid_input")


def test_no_training_file_is_said_in_the_vendors_words(check: Check) -> None:
    with pytest.raises(InvalidInput, match="At least one training file or repository is required"):
        check(training_files=[])


def test_a_file_for_another_purpose_is_refused(check: Check, upload: Upload) -> None:
    batch = upload({"custom_id": "0"}, purpose="batch")
    with pytest.raises(InvalidInput, match="whose purpose is 'batch'") as told:
        check(validation_files=[batch.id])
    assert told.value.error_code == "file_purpose"


def test_a_file_of_somebody_else_does_not_exist(
    database: Database, admin: Actor, other: Actor, upload: Upload
) -> None:
    private = upload(actor=admin, visibility="user")
    wanted: Any = {"model": "modiste-tiny", "training_files": [TrainingFile(private.id)]}
    with pytest.raises(InvalidInput, match="no such file"), database.transaction() as tx:
        job_requests.checked(tx, other, wanted)


def test_a_file_named_twice_is_refused(check: Check, upload: Upload) -> None:
    file = upload()
    with pytest.raises(InvalidInput, match="twice; give it once, with a larger weight"):
        check(training_files=[TrainingFile(file.id), TrainingFile(file.id, 2.0)])


def test_a_sequence_longer_than_the_base_reads_is_refused_with_the_limit(check: Check) -> None:
    with pytest.raises(InvalidInput, match=r"seq_len is 32768: modiste-tiny reads at most \d+"):
        check(hyperparameters=Hyperparameters(seq_len=32768))


def test_what_comes_later_is_refused_by_name(check: Check) -> None:
    with pytest.raises(NotYetSupported, match="not there yet") as told:
        check(repositories=[{"type": "github"}])
    assert told.value.param == "repositories"


MOOD = ClassifierTarget("mood", ("bad", "good"))


def test_a_classifier_job_is_told_by_its_objective_and_its_targets(check: Check) -> None:
    plain, made = check(), check(job_type="classifier", classifier_targets=[MOOD])
    assert made.job_type is JobType.CLASSIFIER
    assert made.classifier_targets == (MOOD,)
    assert made.hyperparameters.objective == "classify"
    assert made.signature != check(job_type="classifier").signature != plain.signature


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"job_type": "regression"}, "expected completion or classifier"),
        ({"classifier_targets": [MOOD]}, "only mean something with job_type classifier"),
        ({"hyperparameters": Hyperparameters(objective="classify")}, "that of job_type classifier"),
        (
            {"job_type": "classifier", "hyperparameters": Hyperparameters(objective="dpo")},
            "objective is dpo",
        ),
        (
            {"job_type": "classifier", "hyperparameters": Hyperparameters(method="full")},
            "method full trains no classifiers",
        ),
        ({"job_type": "classifier", "classifier_targets": [MOOD, MOOD]}, "'mood' is there twice"),
    ],
)
def test_what_contradicts_the_type_of_a_job_is_refused(
    check: Check, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidInput, match=said):
        check(**changes)


def test_only_what_decides_about_the_model_is_in_the_signature(
    check: Check, upload: Upload
) -> None:
    same = {
        check().signature,
        check(auto_start=True, metadata={"a": "b"}).signature,
        check(training_files=[TrainingFile(upload(filename="renamed.jsonl").id)]).signature,
    }
    different = {
        check(suffix="s").signature,
        check(hyperparameters=Hyperparameters(seed=1)).signature,
        check(validation_files=[upload(filename="v.jsonl").id]).signature,
        check(invalid_sample_skip_fraction=0.5).signature,
    }
    assert len(same) == 1
    assert len(different | same) == 5


def test_the_best_of_no_evaluation_is_refused_with_both_ways_out(
    check: Check, upload: Upload
) -> None:
    asked = Hyperparameters(keep="best", early_stopping_patience=3)
    with pytest.raises(InvalidInput) as told:
        check(hyperparameters=asked)
    assert told.value.param == "hyperparameters.keep"
    assert "give validation_files, or keep: last" in told.value.message
    assert "early_stopping_patience is 3" in told.value.message
    assert check(hyperparameters=asked, validation_files=[upload().id]).hyperparameters == asked
