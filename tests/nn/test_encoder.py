"""Vectors against transformers' states pooled by hand, text by text, without padding."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from modiste.errors import InvalidInput
from modiste.nn.encoder import Encoder

TEXTS = [[2, 5, 9, 30, 3], [2, 3], [2, 40, 41, 42, 8, 7, 6, 5, 3]]


def states(folder: Path, ids: list[int]) -> Any:
    from transformers import BertModel

    with torch.inference_mode():
        model = BertModel.from_pretrained(folder).eval()
        return model(torch.tensor([ids])).last_hidden_state[0].numpy()


@pytest.mark.parametrize("mode", ["mean", "cls", "max", "lasttoken"])
def test_a_padded_batch_gives_what_each_text_gives_alone(
    tmp_path: Path, sentence_base: Path, mode: str
) -> None:
    folder = Path(shutil.copytree(sentence_base, tmp_path / "copy"))
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode": mode}))
    by_hand = {
        "mean": lambda x: x.mean(0),
        "cls": lambda x: x[0],
        "max": lambda x: x.max(0),
        "lasttoken": lambda x: x[-1],
    }[mode]
    vectors = Encoder(folder)(TEXTS).numpy()
    for ids, vector in zip(TEXTS, vectors, strict=True):
        expected = by_hand(states(folder, ids))
        # float32 with other shapes of the same sums.
        assert np.allclose(vector, expected / np.linalg.norm(expected), atol=1e-6)
    modules = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps(modules[:2]))
    raw = Encoder(folder)(TEXTS[:1]).numpy()[0]
    assert np.allclose(raw, by_hand(states(folder, TEXTS[0])), atol=1e-5)


def test_a_folder_that_cannot_be_loaded_is_named(tmp_path: Path, sentence_base: Path) -> None:
    folder = Path(shutil.copytree(sentence_base, tmp_path / "copy"))
    (folder / "config.json").write_text('{"model_type": "nonesuch", "hidden_size": 32}')
    with pytest.raises(InvalidInput, match="cannot be loaded"):
        Encoder(folder)
