"""nn/gguf_vocabulary.py: tokenizers of four kinds as llama.cpp wants them."""

from __future__ import annotations

import json
import shutil
from importlib.resources import files
from pathlib import Path

import pytest
from sentencepiece import SentencePieceProcessor

import modiste
from modiste.errors import InvalidInput
from modiste.nn.gguf_vocabulary import Kind, _parts, read_vocabulary

TINY = Path(modiste.__file__).parent / "bases" / "tiny"
V3 = "mistral_instruct_tokenizer_240323.model.v3"


def mistral_file(name: str) -> Path:
    return Path(str(files("mistral_common") / "data" / name))


def test_a_sentencepiece_file_keeps_ids_scores_and_kinds(tmp_path: Path) -> None:
    shutil.copy(mistral_file(V3), tmp_path / "tokenizer.model.v3")
    found = read_vocabulary(tmp_path, size=32768)
    model = SentencePieceProcessor(model_file=str(tmp_path / "tokenizer.model.v3"))
    assert found.model == "llama"
    assert found.tokens[5000].decode() == model.IdToPiece(5000)
    assert (found.scores or [])[5000] == model.GetScore(5000)
    assert found.kinds[:4] == [Kind.UNKNOWN, Kind.CONTROL, Kind.CONTROL, Kind.CONTROL]
    assert (found.bos, found.eos, found.unknown, found.add_bos) == (1, 2, 0, True)


def test_missing_tokens_are_filled_and_too_many_refused(tmp_path: Path) -> None:
    shutil.copy(mistral_file(V3), tmp_path / "tokenizer.model.v3")
    found = read_vocabulary(tmp_path, size=32800)
    assert (len(found), found.kinds[-1], found.tokens[-1]) == (32800, Kind.UNUSED, b"[PAD32799]")
    with pytest.raises(InvalidInput, match="32768 tokens and the model 32000 embeddings"):
        read_vocabulary(tmp_path, size=32000)


def test_byte_level_bpe_of_the_shipped_base() -> None:
    found = read_vocabulary(TINY, size=4096)
    content = json.loads((TINY / "tokenizer.json").read_text())
    assert found.model == "gpt2"
    assert len(found.merges or []) == len(content["model"]["merges"])
    assert found.kinds[3] == Kind.CONTROL
    assert (found.bos, found.eos, found.add_bos) == (1, 2, False)
    assert "no name for this tokenizer's way to split" in found.note


def test_tekken_pieces_are_merged_from_lower_ranks() -> None:
    content = json.loads(mistral_file("tekken_240718.json").read_text())
    import base64

    pieces = [base64.b64decode(entry["token_bytes"]) for entry in content["vocab"][:20000]]
    ranks = {piece: rank for rank, piece in enumerate(pieces)}
    for piece in pieces[256:20000:97]:
        left, right = _parts(piece, ranks)
        assert left + right == piece
        assert max(ranks[left], ranks[right]) < ranks[piece]


@pytest.mark.slow
def test_a_tekken_file_has_all_its_tokens_and_merges(tmp_path: Path) -> None:
    shutil.copy(mistral_file("tekken_240718.json"), tmp_path / "tekken.json")
    found = read_vocabulary(tmp_path, size=131072)
    assert (found.model, found.pre, found.bos, found.eos) == ("gpt2", "tekken", 1, 2)
    assert found.tokens[3] == b"[INST]"
    assert len(found.merges or []) == 131072 - 1000 - 256


def test_bpe_with_byte_fallback_is_sentencepiece_in_other_words(tmp_path: Path) -> None:
    vocab = {"<unk>": 0, "<s>": 1, "</s>": 2, "<0x0A>": 3, "a": 4, "b": 5, "ab": 6, "aba": 7}
    content = {
        "model": {
            "type": "BPE",
            "vocab": vocab,
            "merges": ["a b", "ab a", "a ba"],
            "byte_fallback": True,
            "unk_token": "<unk>",
        },
        "added_tokens": [
            {"id": i, "content": t, "special": True} for t, i in vocab.items() if i < 3
        ],
        "normalizer": {"type": "Prepend", "prepend": "\u2581"},
    }
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    settings = {"bos_token": "<s>", "eos_token": {"content": "</s>"}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 7]}))
    found = read_vocabulary(tmp_path, size=8)
    assert (found.model, found.add_space_prefix) == ("llama", True)
    assert found.kinds == [2, 3, 3, 6, 1, 1, 1, 1]
    assert (found.scores or [])[6:] == [0.0, -1.0]
    assert (found.bos, found.eos, found.end_of_turn) == (1, 2, 7)


def test_a_folder_without_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no tokenizer there"):
        read_vocabulary(tmp_path, size=10)
