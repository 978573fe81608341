"""What a run says, as who reads it sees it."""

from __future__ import annotations

import json

import pytest

from modiste.tune import events
from modiste.tune.events import Checkpointed, Event, Failed, Step


def test_an_event_is_a_flat_json_object_with_its_name() -> None:
    said = Checkpointed(10, 1.5, None, None).as_dict()
    assert said == {
        "event": "checkpoint",
        "step": 10,
        "train_loss": 1.5,
        "valid_loss": None,
        "valid_token_accuracy": None,
    }
    assert Failed("storage_full", "no space").as_dict()["event"] == "failed"


def test_numbers_survive_json_to_the_bit() -> None:
    """Equal loss curves are compared after this trip."""
    step = Step(1, 2, 0.1 + 0.2, 1e-5 / 3, 2**0.5, 3, 2, 1e3 / 7, 1.0, 0.0)
    assert json.loads(json.dumps(step.as_dict())) == step.as_dict()


def test_every_event_has_a_name_of_its_own() -> None:
    kinds = [k for k in vars(events).values() if isinstance(k, type) and issubclass(k, Event)]
    names = [kind.name for kind in kinds if kind is not Event]
    assert len(set(names)) == len(names) >= 10


def test_events_cannot_be_changed_after_they_were_said() -> None:
    with pytest.raises(AttributeError):
        Failed("a", "b").code = "c"  # type: ignore[misc]
