"""A fingerprint changes with everything that bits depend on, and with nothing else."""

import re

import pytest

from modiste.serve.fingerprint import facts, fingerprint

HERE = facts(linear="fp32", kernels="avx512", threads=1)


def test_it_is_short_and_the_same_every_time():
    assert re.fullmatch(r"fp_[0-9a-f]{10}", fingerprint(HERE))
    again = dict(reversed(facts(linear="fp32", kernels="avx512", threads=1).items()))
    assert fingerprint(again) == fingerprint(HERE)


@pytest.mark.parametrize("name", list(HERE))
def test_each_fact_changes_it(name):
    assert fingerprint({**HERE, name: "other"}) != fingerprint(HERE)
