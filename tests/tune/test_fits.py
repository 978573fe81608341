"""What will not fit, and which knob makes it fit."""

from __future__ import annotations

from dataclasses import replace

import pytest

from modiste.tune.fits import Fitted, fitted, gigabytes
from modiste.tune.memory import Load
from modiste.tune.room import Room

from .test_memory import MISTRAL_7B, spec
from .test_plan import BASE

GB = 10**9


def gpu(size_gb: int, *, disk_gb: int = 500, ram_gb: int = 256) -> Room:
    name = "NVIDIA H100 80GB HBM3"
    return Room("cuda", name, size_gb * GB, size_gb * GB, ram_gb * GB, disk_gb * GB, "the GPU")


def cpu(size_gb: float, *, free_gb: float | None = None) -> Room:
    size = round(size_gb * GB)
    return Room("cpu", "a CPU", size, round((free_gb or size_gb) * GB), size, 500 * GB)


def tried(room: Room, *, longest: int = 8192, **changes: object) -> Fitted:
    return fitted(spec(**changes), MISTRAL_7B, Load(longest, 65_536), room)


def test_where_there_is_room_nothing_is_changed() -> None:
    found = tried(gpu(200))
    assert not found.problems
    assert found.spec.gradient_checkpointing is False
    assert found.spec.microbatch_tokens is None
    assert not found.said


def test_smaller_micro_batches_come_before_computing_twice() -> None:
    found = tried(gpu(120))
    assert found.spec.gradient_checkpointing is False
    assert found.spec.microbatch_tokens == 8192
    assert "up to 8192 tokens" in found.said[0]


def test_checkpointing_is_chosen_where_it_is_needed_and_it_is_said() -> None:
    found = tried(gpu(24))
    assert not found.problems
    assert found.spec.gradient_checkpointing is True
    assert "Gradient checkpointing is on" in found.said[0]


def test_what_was_asked_for_is_never_changed() -> None:
    found = tried(gpu(24), gradient_checkpointing=False, microbatch_tokens=8192)
    assert found.spec.gradient_checkpointing is False
    assert found.spec.microbatch_tokens == 8192
    (problem,) = found.problems
    assert "`gradient_checkpointing: true` needs" in (problem.hint or "")


def test_a_training_too_large_names_the_knob_that_fixes_it_with_numbers() -> None:
    (problem,) = tried(gpu(16)).problems
    assert problem.code == "memory_too_small"
    assert "the GPU has 16.0 GB" in problem.message
    assert "base 14.5 GB" in problem.message
    assert "`method: qlora` needs 1" in (problem.hint or "")


def test_every_knob_that_is_advised_does_fit() -> None:
    """Advice is followed word by word, and the job is planned again."""
    room = gpu(40)
    wish: dict[str, object] = {"gradient_checkpointing": False, "lora": {"rank": 512}}
    (problem,) = tried(room, longest=512, **wish).problems
    hint = problem.hint or ""
    assert "`gradient_checkpointing: true`" in hint
    assert not tried(room, longest=512, **(wish | {"gradient_checkpointing": True})).problems
    assert "`lora.rank: 256`" in hint
    assert not tried(room, longest=512, **(wish | {"lora": {"rank": 256}})).problems


def test_knobs_are_combined_where_no_single_one_will_do() -> None:
    (problem,) = tried(gpu(8)).problems
    assert "together need" in (problem.hint or "")


def test_where_nothing_helps_it_says_how_much_is_missing() -> None:
    (problem,) = tried(gpu(3)).problems
    assert "use a smaller base or a machine with more memory" in (problem.hint or "")


def test_several_processes_need_several_times_the_memory_and_fewer_are_advised() -> None:
    room = replace(cpu(1.5), processes=4)
    load = Load(200, 2048)
    (problem,) = fitted(spec(), BASE, load, room).problems
    assert "this machine (of 4 processes) has 1.5 GB" in problem.message
    assert problem.hint == "`MODISTE_TRAIN_PROCESSES=2` needs 1.4 GB and fits"
    assert not fitted(spec(), BASE, load, replace(room, processes=2)).problems


def test_gpus_are_counted_one_by_one_but_the_ram_beside_them_for_all() -> None:
    room = replace(gpu(24, ram_gb=40), processes=8, n_gpus=8)
    (problem,) = tried(room).problems
    assert "beside the GPU of 8 processes" in problem.message
    assert "`MODISTE_TRAIN_PROCESSES=2` needs" in (problem.hint or "")
    assert not tried(replace(room, processes=2)).problems


def test_a_classifier_whose_phrases_are_too_large_may_do_without() -> None:
    targets = [{"name": "intent", "labels": [f"label {n}" for n in range(150)]}]
    load = Load(20, 160, tokens=200_000)
    classifier = spec(objective="classify", classifier_targets=targets)
    (problem,) = fitted(classifier, BASE, load, cpu(1.1)).problems
    assert "classifier.phrases: false" in (problem.hint or "")


def test_full_tuning_of_a_large_base_is_sent_to_lora() -> None:
    found = tried(gpu(80, disk_gb=200, ram_gb=64), method="full")
    assert {p.code for p in found.problems} == {"memory_too_small", "disk_too_small"}
    assert "`method: lora`" in (found.problems[0].hint or "")
    assert "beside the GPU" in found.problems[1].message
    assert "free 148" in (found.problems[2].hint or "")


def test_memory_that_others_use_now_is_said_and_not_refused() -> None:
    found = fitted(spec(), BASE, Load(200, 2048), cpu(8, free_gb=0.5))
    assert not found.problems
    assert "Only 0.5 GB of memory are free now" in found.said[0]


def test_force_turns_problems_into_words() -> None:
    found = tried(gpu(16), force=True)
    assert not found.problems
    assert found.said[0].startswith("Forced, although the training needs about")


@pytest.mark.parametrize(
    ("size", "text"),
    [(25_600_000, "26 MB"), (1_240_000_000, "1.2 GB"), (123_400_000_000, "123 GB")],
)
def test_sizes_are_said_as_people_say_them(size: int, text: str) -> None:
    assert gigabytes(size) == text
