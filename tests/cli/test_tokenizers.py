"""`--model` leads to the tokenizer that is meant, says which one it is, and makes nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from modiste.cli import tokenizers
from modiste.cli.known_bases import SPM_V3, tokenizer_path
from modiste.errors import InvalidInput


def test_no_model_means_the_shipped_base_and_says_so(home):
    found = tokenizers.resolve(None)

    assert found.name == "modiste-tiny"
    assert "--model" in found.said
    assert found.base is not None
    assert not home.exists(), "asking makes no home"


def test_a_folder_and_the_files_in_it_are_one_base(home):
    folder = tokenizers.shipped_folder()

    by_folder, by_file = (
        tokenizers.resolve(str(path)) for path in (folder, folder / "tokenizer.json")
    )

    assert by_folder.renderer.fingerprint == by_file.renderer.fingerprint
    assert by_folder.base == by_file.base


def test_a_tokenizer_file_alone_renders_and_has_no_size(home, tmp_path):
    file = Path(shutil.copy(tokenizer_path(SPM_V3), tmp_path / "tokenizer.model.v3"))

    found = tokenizers.resolve(str(file))

    assert found.renderer.vocab_size == 32_768
    assert found.base is None


def test_a_vendors_name_is_read_with_what_ships_and_says_so(home):
    found = tokenizers.resolve("open-mistral-7b")

    assert SPM_V3 in found.said
    assert found.base is not None
    assert not home.exists()


def test_what_is_installed_comes_before_what_ships(modiste, monkeypatch):
    monkeypatch.setenv("MODISTE_BASE_ALIASES", "open-mistral-7b=modiste-tiny")
    modiste("models", "list")

    found = tokenizers.resolve("open-mistral-7b")

    assert found.name == "modiste-tiny"
    assert "which open-mistral-7b stands for here" in found.said


def test_an_unknown_name_is_refused_with_the_nearest_one(home):
    with pytest.raises(InvalidInput, match="Did you mean open-mistral-nemo") as refusal:
        tokenizers.resolve("open-mistral-nem")

    assert "tekken.json" in refusal.value.message


def test_a_file_that_is_no_tokenizer_is_refused_by_name(home, tmp_path):
    file = tmp_path / "tokenizer.model.v3"
    file.write_bytes(b"nothing of the kind")

    with pytest.raises(InvalidInput, match=r"tokenizer\.model\.v3 cannot be read"):
        tokenizers.resolve(str(file))


def test_an_unknown_tuned_model_is_refused(modiste):
    modiste("models", "list")

    with pytest.raises(InvalidInput, match="No model 'ft:"):
        tokenizers.resolve("ft:modiste-tiny:00000000:20260101:abc")


@pytest.mark.parametrize(
    ("path", "vocab_size", "says"),
    [
        ("/models/mistral-7B-v0.3", 32_768, "goes by its name"),
        ("C:\\models\\Mistral-7B-Instruct-v0.3", 32_768, "goes by its name"),
        ("/models/open-mistral-nemo/", 131_072, "goes by its name"),
        ("/models/our-own", 32_768, "as mistral-finetune counts"),
    ],
)
def test_a_folder_of_another_machine_is_told_by_its_name(home, path, vocab_size, says):
    found = tokenizers.of_folder_elsewhere(path)

    assert found.renderer.vocab_size == vocab_size
    assert f"{path} is not on this machine" in found.said
    assert says in found.said


def test_a_folder_that_is_here_is_read_wherever_it_was_named(home):
    folder = tokenizers.shipped_folder()

    assert tokenizers.of_folder_elsewhere(str(folder)).said == str(folder)
