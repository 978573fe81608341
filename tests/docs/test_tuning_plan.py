"""The page about plans says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from modiste.cli.plan_text import fields
from modiste.nn.base import BaseInfo, Layout
from modiste.tune.fits import fitted
from modiste.tune.memory import MICROBATCH_TOKENS, Load
from modiste.tune.room import Room
from modiste.tune.spec import TuneSpec, parse

MISTRAL_7B = BaseInfo(
    n_parameters=7_248_023_552,
    max_context_length=32_768,
    architecture="MistralForCausalLM",
    layout=Layout.MISTRAL,
    vocab_size=32_768,
    hidden_size=4096,
    intermediate_size=14_336,
    n_layers=32,
    n_heads=32,
    n_kv_heads=8,
    head_dim=128,
    weights_bytes=14_496_047_104,
)
PAGE = (Path(__file__).parents[2] / "docs" / "tuning-plan.md").read_text()


def test_every_field_of_the_page_is_a_field_of_a_tuning_file() -> None:
    named = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    assert named
    assert set(named) <= set(TuneSpec.model_fields)
    assert all(f"{tokens:,}" in PAGE for tokens in MICROBATCH_TOKENS.values())


def test_the_plan_that_is_shown_has_the_rows_of_a_plan() -> None:
    figures = {
        "batch_size": 1,
        "max_length": 1,
        "duration": {"total_s": 1.0},
        "speed": {"tokens_per_s": 1.0, "rests_on": ""},
        "memory": {"peak_bytes": 1, "parts": {}, "when": "in a step"},
        "room": None,
        "disk_bytes": 1,
        "flops": 1.0,
        "flops_per_s": 1.0,
    }
    for name, value in fields({"figures": figures, "data_tokens": 1}):
        if value is not None:
            assert re.search(rf"^{name} ", PAGE, re.MULTILINE), name


def test_the_refusal_that_is_shown_is_the_one_that_comes() -> None:
    """Words, not numbers: those move when constants are fitted again."""
    spec = parse({"model": "m", "data": {"train": ["a"]}}).spec
    gpu = Room("cuda", "a GPU", 16 * 10**9, 16 * 10**9, 256 * 10**9, 10**12, "the GPU")
    (problem,) = fitted(spec, MISTRAL_7B, Load(8192, 65_536), gpu).problems
    shown = re.search(r"^the training needs about .*\n\(.*\)$", PAGE, re.MULTILINE)
    assert shown is not None

    def words(text: str) -> str:
        return re.sub(r"\d[\d.,]*", "#", text)

    assert words(shown.group(0)) == words(f"{problem.message}\n({problem.hint})")
