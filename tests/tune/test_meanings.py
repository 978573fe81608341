"""Fields that are more than a name: what they take out, put in and say."""

from __future__ import annotations

from modiste.tune import meanings
from modiste.tune.meanings import Reading


def test_packed_sequences_are_counted_and_samples_are_not() -> None:
    packed = Reading({"sample_packing": True, "micro_batch_size": 2, "num_microbatches": 3})
    meanings.batch(packed)
    assert (packed.values, packed.left) == ({"batch_size": 6}, {})

    unpacked = Reading({"packing": False, "per_device_train_batch_size": 2})
    meanings.batch(unpacked)
    assert (unpacked.values, unpacked.left) == ({}, {})
    assert "counts samples" in unpacked.notes[0]


def test_a_batch_that_is_no_number_is_refused() -> None:
    reading = Reading({"num_microbatches": 0})
    meanings.batch(reading)
    assert reading.problems == ["num_microbatches: expected a whole number above 0, got 0"]


def test_warm_up_in_steps_becomes_a_share_where_the_steps_are_known() -> None:
    reading = Reading({"warmup_steps": 10, "max_steps": 200})
    meanings.schedule(reading)
    assert reading.values == {"warmup_ratio": 0.05}


def test_a_disabled_tracker_is_none() -> None:
    for switch in ({"wandb_mode": "disabled"}, {"use_wandb": False}):
        reading = Reading({"wandb_project": "p", **switch})
        meanings.trackers(reading)
        assert (reading.values, reading.left) == ({}, {})


def test_a_section_without_a_project_sends_nothing_and_says_so() -> None:
    reading = Reading({"wandb.offline": False})
    meanings.trackers(reading)
    assert reading.values == {}
    assert reading.notes == ["wandb: no project is named, so nothing is sent to W&B"]


def test_entries_of_a_list_keep_their_weights_and_local_files() -> None:
    entries = [{"path": "json", "data_files": ["a.json", "b.json"], "weight": 2.0}, "c.jsonl"]
    reading = Reading({"datasets": entries})
    meanings.sources(reading)
    assert reading.values["data.train"] == [
        {"path": "a.json", "weight": 2.0},
        {"path": "b.json", "weight": 2.0},
        "c.jsonl",
    ]


def test_both_words_for_bf16_mean_the_same() -> None:
    for name in ("bf16", "bfloat16"):
        reading = Reading({name: True})
        meanings.precision(reading)
        assert reading.values == {"dtype": "bfloat16"}


def test_a_width_that_no_base_is_held_in_is_refused() -> None:
    reading = Reading({"quantization_bit": 3})
    meanings.method(reading)
    assert reading.problems == ["quantization_bit: 3 is not there; 4 is, as method: qlora"]


def test_a_name_for_a_run_that_no_tracker_shows_is_said_to_be_left_aside() -> None:
    reading = Reading({"run_name": "mine"})
    meanings.trackers(reading)
    assert reading.values == {}
    assert "nothing is called that" in reading.notes[0]
