"""Files that people write: everything that is wrong is said at once, with the nearest name."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ConfigDict, Field

from modiste.errors import InvalidInput
from modiste.prepare.checked import checked, checked_yaml


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    threshold: float = Field(ge=0, le=1)


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    parts: list[Inner] = []


def test_a_good_file_is_what_it_says() -> None:
    read = checked_yaml(Outer, "name: a\nparts: [{threshold: 0.5}]", file="gate.yaml")
    assert read == Outer(name="a", parts=[Inner(threshold=0.5)])


def test_everything_wrong_is_said_with_its_place_value_and_the_nearest_name() -> None:
    text = "nmae: a\nparts:\n- {treshold: 0.5}\n- {threshold: 7}\n"
    with pytest.raises(InvalidInput) as refused:
        checked_yaml(Outer, text, file="gate.yaml")
    told = {(p.path, p.code): p for p in refused.value.problems}
    assert told["parts.1.threshold", "less_than_equal"].line == 4
    assert told["parts.0.threshold", "missing"].line == 3  # of the part that lacks it
    assert told["name", "missing"].line is None
    assert set(told) == {
        ("name", "missing"),
        ("nmae", "extra_forbidden"),
        ("parts.0.threshold", "missing"),
        ("parts.0.treshold", "extra_forbidden"),
        ("parts.1.threshold", "less_than_equal"),
    }
    said = refused.value.message
    assert said.startswith("gate.yaml: ")
    assert "line 1 nmae: is not known here; did you mean 'name'?" in said
    assert "line 3 parts.0.treshold: is not known here; did you mean 'threshold'?" in said
    assert "line 4 parts.1.threshold: Input should be less than or equal to 1, got 7" in said


def test_a_name_that_is_like_nothing_known_gets_no_advice() -> None:
    with pytest.raises(InvalidInput, match=r"zzzzzz: is not known here$"):
        checked(Outer, {"name": "a", "zzzzzz": 1}, file="f")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "is no YAML"),
        ("- a", "holds list, expected fields"),
        ("", "holds NoneType, expected fields"),
        ("!!python/object/apply:os.system ['x']", "is no YAML"),
        ("a: &a [*a]", "not known here|no YAML"),
    ],
)
def test_what_is_no_file_of_fields_is_refused(text: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        checked_yaml(Outer, text, file="f.yaml")


def test_a_long_value_is_shown_in_part() -> None:
    with pytest.raises(InvalidInput) as refused:
        checked(Outer, {"name": "a", "parts": "x" * 10_000}, file="f")
    assert len(refused.value.message) < 300
