"""What a gate may say."""

from __future__ import annotations

import pytest

from modiste.errors import InvalidInput
from modiste.evaluate.gate_spec import read

WHOLE = """
name: support-bot
primary: {metric: exact, min_effect: 0.01}
guards:
  - {metric: rouge, delta: 0.02}
  - {metric: exact, delta: 0.01, suite: general}
floors:
  - {metric: safe, at_least: 0.98, suite: safety}
ceilings:
  - {metric: latency.p95, at_most: 2.0}
approvers: {names: [anna, ben]}
"""


def test_a_gate_is_read_with_its_defaults() -> None:
    gate = read(WHOLE, file="gate.yaml")
    assert (gate.parity, gate.min_items, gate.max_unscored) == (True, 50, 0.02)
    assert gate.compares
    assert gate.guards[1].suite == "general"


def test_everything_wrong_is_said_at_once_with_the_nearest_name() -> None:
    text = "primary: {metrik: exact}\nguards: [{metric: exact}]\nmin_item: 3\n"
    with pytest.raises(InvalidInput) as refused:
        read(text, file="gate.yaml")
    said = refused.value.message
    assert "did you mean 'metric'" in said
    assert "did you mean 'min_items'" in said
    assert "guards.0.delta" in said


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("parity: true", "asks for nothing"),
        ("floors: [{metric: a, at_least: 1}]\napprovers: {names: [a], needed: 2}", "needed is 2"),
        ("[]", "expected fields"),
    ],
)
def test_a_gate_that_nothing_or_nobody_could_pass_is_refused(text: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        read(text, file="gate.yaml")


def test_a_gate_of_floors_alone_needs_no_baseline() -> None:
    assert not read("floors: [{metric: exact, at_least: 0.9}]", file="gate.yaml").compares
