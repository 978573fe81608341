"""A few seconds of what `python -m tests.fuzz.run` does for hours."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.fuzz.mutations import file_bytes
from tests.fuzz.run import main, one, renderers


@pytest.fixture(scope="module")
def known():
    return renderers()


@pytest.mark.parametrize("number", range(40))
def test_a_damaged_file_ends_in_a_report(tmp_path: Path, known, number: int):
    one(number, tmp_path, known)


def test_the_same_number_is_the_same_file():
    assert file_bytes(random.Random(7)) == file_bytes(random.Random(7))


@pytest.mark.slow
def test_random_damage_finds_no_traceback():
    """FUZZ_SECONDS sets for how long, FUZZ_FIRST where it begins."""
    seconds, first = os.environ.get("FUZZ_SECONDS", "40"), os.environ.get("FUZZ_FIRST", "1000")

    assert main(["--seconds", seconds, "--first", first]) == 0
