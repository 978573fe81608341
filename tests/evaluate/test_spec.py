"""How a suite names a scorer."""

import pytest
from pydantic import ValidationError

from modiste.evaluate.scorers.text_match import ExactSpec


def test_the_config_holds_all_options_and_the_version_but_no_name() -> None:
    spec = ExactSpec(name="mine")
    assert spec.config == {"kind": "exact", "normalise": "none", "version": 1}
    assert spec.build().name == "mine"


@pytest.mark.parametrize("name", ["", "a.b", "-x", "x" * 65])
def test_a_name_is_one_word_without_dots(name: str) -> None:
    with pytest.raises(ValidationError):
        ExactSpec(name=name)
