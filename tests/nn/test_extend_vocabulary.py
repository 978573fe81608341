"""nn/extend_vocabulary.py: more tokens, and nothing else changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from modiste.errors import InvalidInput
from modiste.nn import proof
from modiste.nn.export import export
from modiste.nn.extend_vocabulary import MISTRAL_SPLIT, extend, widened
from modiste.nn.loading import load_base
from modiste.nn.tensor_files import TensorFiles

Make = Callable[..., Path]
IDS = [5, 17, 3, 99, 42, 7, 150, 8]


def logits(base: Path, ids: list[int] = IDS) -> torch.Tensor:
    return proof.logits_of(load_base(base, dtype=torch.float32).model, [ids])[0]


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("layout", ["hugging-face", "mistral"])
def test_old_tokens_keep_their_logits(
    random_base: Make, tmp_path: Path, layout: str, tied: bool
) -> None:
    base = random_base("mistral", tie_word_embeddings=tied)
    if layout == "mistral":
        export("merged-mistral", base=base, adapter=None, into=tmp_path / "m", verify=False)
        base = tmp_path / "m"
    done = extend(base, size=256, into=tmp_path / "wide")
    assert (done.old_size, done.new_size) == (199, 256)
    wide = logits(tmp_path / "wide")
    assert wide.shape[1] == 256
    # The same rows in a wider matrix product: sums may be in another order.
    assert torch.allclose(wide[:, :199], logits(base), atol=1e-4)


def test_tokens_put_in_the_middle_move_the_later_ones_and_special_ids(
    random_base: Make, tmp_path: Path
) -> None:
    base = random_base("mistral", bos_token_id=1, eos_token_id=9)
    (base / "generation_config.json").write_text('{"bos_token_id": 1, "eos_token_id": [9, 2, 30]}')
    done = extend(base, size=256, into=tmp_path / "wide", insert_at=3)
    moved = [i if i < 3 else i + 57 for i in IDS]
    wide, before = logits(tmp_path / "wide", moved), logits(base)
    assert torch.allclose(wide[:, [0, 1, 2, *range(60, 256)]], before, atol=1e-4)
    config = json.loads((tmp_path / "wide" / "config.json").read_text())
    assert (config["bos_token_id"], config["eos_token_id"]) == (1, 66)
    said = json.loads((tmp_path / "wide" / "generation_config.json").read_text())
    assert said == {"bos_token_id": 1, "eos_token_id": [66, 2, 87]}
    assert "ids 3 to 59 are new" in done.note
    assert "the old one fits no longer" in done.note


def test_32000_tokens_of_mistral_become_the_32768_of_its_v3_tokenizer(
    random_base: Make, tmp_path: Path
) -> None:
    base = random_base("mistral", vocab_size=32000)
    export("merged-mistral", base=base, adapter=None, into=tmp_path / "m", verify=False)
    (tmp_path / "m" / "tokenizer.model").write_bytes(b"old")
    (tmp_path / "v3.model").write_bytes(b"new")
    done = extend(
        tmp_path / "m", size=32768, into=tmp_path / "wide", tokenizer=tmp_path / "v3.model"
    )
    assert done.note == "ids 3 to 770 are new"
    old, new = TensorFiles(base), TensorFiles(tmp_path / "wide")
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        rows = new.read(name)
        assert torch.equal(rows[:MISTRAL_SPLIT], old.read(name)[:MISTRAL_SPLIT])
        assert torch.equal(rows[MISTRAL_SPLIT + 768 :], old.read(name)[MISTRAL_SPLIT:])
    assert sorted(path.name for path in (tmp_path / "wide").iterdir()) == [
        "consolidated.safetensors",
        "params.json",
        "v3.model",
    ]


def test_new_rows_lie_near_the_mean_and_depend_on_the_seed_alone() -> None:
    rows = torch.randn(4000, 16) * torch.arange(1, 17) + 3
    wide = widened(rows, size=8000, at=4000, seed=1)
    new = wide[4000:]
    assert torch.allclose(new.mean(0), rows.mean(0), atol=0.15)
    # Noise is a tenth of the old spread; 4,000 draws tell it to 3 % (false alarm below 1e-6).
    assert torch.allclose(new.std(0), rows.std(0) * 0.1, rtol=0.08)
    assert torch.equal(wide, widened(rows, size=8000, at=4000, seed=1))
    assert not torch.equal(new, widened(rows, size=8000, at=4000, seed=2)[4000:])


def test_all_that_cannot_be_done_is_said_at_once(random_base: Make, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "x").touch()
    with pytest.raises(InvalidInput) as told:
        extend(
            random_base("mistral"),
            size=100,
            into=tmp_path / "there",
            insert_at=500,
            tokenizer=tmp_path / "none.json",
        )
    for part in ("size is 100", "insert-at is 500", "is there already", "none.json: no such file"):
        assert part in told.value.message
