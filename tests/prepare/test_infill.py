"""How each family is asked for a middle, and who is not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from mistral_common.protocol.fim.request import FIMRequest
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

from modiste.prepare import render
from modiste.prepare.infill import MARKS
from modiste.prepare.render_mistral import MistralRenderer

from .conftest import TINY, WHEEL

KNOW = [
    "mistral_instruct_tokenizer_240323.model.v3",
    "mistral_instruct_tokenizer_241114.model.v7",
    "tekken_240911.json",
]


@pytest.mark.parametrize("file", KNOW)
def test_mistrals_prompt_is_that_of_mistral_common(file: str) -> None:
    infill = MistralRenderer(WHEEL / file).fim
    assert infill is not None
    theirs = MistralTokenizer.from_file(str(WHEEL / file))
    for before, behind in [
        ("def add(a, b):\n    return ", "\n"),
        ("", "x"),
        ("x", ""),
        (" é", "☺"),
    ]:
        expected = theirs.encode_fim(FIMRequest(prompt=before, suffix=behind)).tokens
        assert infill.prompt(before, behind) == expected


@pytest.mark.parametrize("file", KNOW)
@pytest.mark.parametrize("cut", [0, 1, 4, 9])
def test_prompt_and_middle_read_on_without_a_seam(file: str, cut: int) -> None:
    renderer = MistralRenderer(WHEEL / file)
    infill = renderer.fim
    assert infill is not None
    text = "def add(a, b): pass"
    before, middle, behind = text[:cut], text[cut:12], text[12:]
    ids = infill.prompt(before, behind)
    prefix = next(mark for mark in infill.marks if renderer.token_name(mark) == "[PREFIX]")
    written = ids[ids.index(prefix) + 1 :] + infill.middle(middle)
    assert renderer.decode(written).lstrip() == (before + middle)


@pytest.mark.parametrize(
    "file", ["tokenizer.model.v1", "mistral_instruct_tokenizer_240216.model.v2"]
)
def test_tokenizers_without_the_marks_know_no_infilling(file: str) -> None:
    assert MistralRenderer(WHEEL / file).fim is None


def with_marks(folder: Path, names: tuple[str, ...]) -> Path:
    """The shipped tokenizer, three of its spare control tokens renamed."""
    for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(TINY / file, folder / file)
    shutil.copy(TINY / "config.json", folder / "config.json")
    path = folder / "tokenizer.json"
    definition = path.read_text()
    for number, name in zip((13, 14, 15), names, strict=True):
        definition = definition.replace(f'"[control_{number}]"', json.dumps(name))
    path.write_text(definition)
    return folder


@pytest.mark.parametrize("names", MARKS)
def test_other_families_are_asked_prefix_suffix_middle(
    tmp_path: Path, names: tuple[str, str, str]
) -> None:
    renderer = render.load(with_marks(tmp_path, names))
    infill = renderer.fim
    assert infill is not None
    ids = infill.prompt("a b", "c")
    assert ids == [
        renderer.bos_id,
        13,
        *renderer.encode("a b"),
        14,
        *renderer.encode("c"),
        15,
    ]
    assert [renderer.token_name(mark) for mark in (13, 14, 15)] == list(names)
    assert infill.marks == {13, 14, 15}


def test_a_base_without_marks_says_so() -> None:
    assert render.load(TINY).fim is None
