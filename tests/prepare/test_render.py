from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from modiste.errors import InvalidInput
from modiste.prepare import render
from modiste.prepare.render_mistral import MistralRenderer
from modiste.prepare.render_template import TemplateRenderer
from modiste.types import Message, Role


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["tokenizer.model.v2", "tokenizer.model.v3", "tokenizer.json"], "tokenizer.model.v3"),
        (["tokenizer.model.v7m1", "tokenizer.model.v3"], "tokenizer.model.v7m1"),
        (["mistral_instruct_240323.model.v3"], "mistral_instruct_240323.model.v3"),
        (["tekken.json", "tokenizer.model.v7"], "tekken.json"),
        (["tokenizer.model", "params.json"], "tokenizer.model"),
        (["tokenizer.model", "tokenizer.json", "params.json"], None),
        (["tokenizer.model"], None),
        (["tokenizer.json"], None),
    ],
)
def test_mistrals_own_tokenizer_comes_first_newest_version_first(tmp_path, names, chosen):
    found = render.mistral_tokenizer_file(touch(tmp_path, *names))

    assert (found.name if found else None) == chosen


def test_a_folder_is_loaded_by_what_lies_in_it(tmp_path, tiny_dir, v3):
    path = Path(v3.theirs.instruct_tokenizer.tokenizer.file_path)
    shutil.copy(path, tmp_path / "tokenizer.model.v3")

    assert isinstance(render.load(tmp_path), MistralRenderer)
    assert isinstance(render.load(tiny_dir), TemplateRenderer)


def test_a_folder_without_a_tokenizer_is_refused_with_what_was_expected(tmp_path):
    with pytest.raises(InvalidInput, match=r"expected tekken\.json, tokenizer\.model\.vN or"):
        render.load(tmp_path)


def test_examples_shown_ahead_come_in_order_and_render_alike(v3, example):
    rows = [
        example(Message(Role.USER, f"question {at}"), Message(Role.ASSISTANT, f"answer {at}"))
        for at in range(render.READ_AHEAD + 5)
    ]

    shown = [(row, v3.ours.training_samples(row)) for row in render.ahead(iter(rows), v3.ours)]

    assert shown == [(row, v3.ours.training_samples(row)) for row in rows]
