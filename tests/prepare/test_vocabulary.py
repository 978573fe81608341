from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from modiste.errors import InvalidInput
from modiste.prepare.vocabulary import Vocabulary, _parts_stand_alone


@pytest.fixture(scope="session")
def vocabulary(tiny_dir) -> Vocabulary:
    return Vocabulary(tiny_dir / "tokenizer.json")


def test_control_tokens_come_in_through_control_only(vocabulary):
    inst = vocabulary.id_of("[INST]")

    assert inst not in vocabulary.encode("[INST]")
    assert vocabulary.encode(vocabulary.control("[INST]")) == [inst]
    assert vocabulary.encode(vocabulary.control(vocabulary.hide("[INST]"))) == vocabulary.encode(
        "[INST]"
    )


@given(parts=st.lists(st.sampled_from(["[INST]", "[", "INST]", "[/", "<s", ">", "x", " "])))
def test_hidden_text_comes_back_letter_by_letter(vocabulary, parts):
    text = "".join(parts)
    around = vocabulary.control("[INST]" + vocabulary.hide(text) + "[/INST]")
    inst, end = vocabulary.id_of("[INST]"), vocabulary.id_of("[/INST]")

    ids = vocabulary.encode(around)

    assert ids == [inst, *vocabulary.encode(text), end]


def test_pieces_of_a_control_token_do_not_add_up_to_one(vocabulary):
    halves = [vocabulary.hide(half) for half in ("[IN", "ST]")]

    assert vocabulary.encode(vocabulary.control("".join(halves))) == vocabulary.encode("[INST]")
    for completed in ("[INS" + vocabulary.hide("T]"), vocabulary.hide("[INS") + "T]"):
        assert vocabulary.encode(vocabulary.control(completed)) == vocabulary.encode("[INST]")


def test_texts_are_hidden_however_deep_they_lie(vocabulary):
    value = {"[INST]": [{"a": ("</s>", 1, None, True)}]}

    hidden = vocabulary.hide(value)

    assert "[INST]" not in json.dumps(hidden)
    assert "</s>" not in json.dumps(hidden)
    assert json.loads(vocabulary.control(json.dumps(hidden))) == json.loads(json.dumps(value))


def test_ordinary_text_is_not_touched(vocabulary):
    assert vocabulary.hide("an ordinary question?") == "an ordinary question?"


def test_every_token_is_spelt_as_the_tokenizer_decodes_it(vocabulary, tiny_dir):
    original = Tokenizer.from_file(str(tiny_dir / "tokenizer.json"))

    for token_id in range(original.get_vocab_size()):
        spelt = vocabulary.spelling[token_id]
        assert spelt.decode(errors="replace") == original.decode([token_id])


def test_a_file_that_is_no_tokenizer_is_named(tmp_path: Path):
    path = tmp_path / "tokenizer.json"
    path.write_text('{"added_tokens": []}')

    with pytest.raises(InvalidInput, match=r"tokenizer\.json cannot be read as a tokenizer"):
        Vocabulary(path)


def test_a_tokenizer_that_loses_bytes_is_refused(tmp_path: Path):
    path = tmp_path / "tokenizer.json"
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(path))

    with pytest.raises(InvalidInput, match="this kind of tokenizer is not supported"):
        Vocabulary(path)


@given(
    parts=st.lists(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
        | st.sampled_from(["[INST]", "[/INST]", "</s>", " ", "  ", "\n", "a", " b", "\u0301"]),
        max_size=12,
    )
)
def test_texts_between_control_tokens_are_encoded_as_in_one_go(vocabulary, parts):
    text = vocabulary.control("".join(parts))

    assert vocabulary._controls is not None
    assert vocabulary.encode(text) == vocabulary._encode(text)


@pytest.mark.parametrize(
    "change",
    [
        {"normalizer": {"type": "Prepend", "prepend": "_"}},
        {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True}},
        {"pre_tokenizer": {"type": "Metaspace"}},
        {"pre_tokenizer": None},
        {"added_tokens": [{"special": True, "lstrip": True, "rstrip": False}]},
        {"added_tokens": [{"special": False, "single_word": True, "lstrip": False}]},
    ],
)
def test_vocabularies_that_look_around_are_given_whole_texts(tiny_dir, change):
    definition = json.loads((tiny_dir / "tokenizer.json").read_text())
    flags = {"lstrip": False, "rstrip": False, "single_word": False, "normalized": False}
    if "added_tokens" in change:
        change = {"added_tokens": [{**flags, **token} for token in change["added_tokens"]]}

    assert _parts_stand_alone(definition)
    assert not _parts_stand_alone({**definition, **change})
