"""Vectors of texts are means of hidden states, whatever stands beside a text."""

from pathlib import Path

import numpy as np
import pytest
import torch

import modiste.bases.tiny
from modiste.nn import embedding as module
from modiste.nn.decoder import Span, load_decoder
from modiste.nn.embedding import TextEmbedder
from modiste.prepare import render

BASE = Path(modiste.bases.tiny.__file__).parent


@pytest.fixture(scope="module")
def embed() -> TextEmbedder:
    return TextEmbedder(BASE, render.load(BASE).encode)


def test_a_vector_is_the_mean_of_the_last_hidden_states(embed: TextEmbedder) -> None:
    ids = render.load(BASE).encode("The cat sat on the mat.")
    decoder = load_decoder(BASE)
    with torch.inference_mode():
        span = Span(0, len(ids), 0, len(ids))
        hidden = decoder.hidden(torch.tensor(ids), [span], decoder.key_values(len(ids)))
    expected = hidden.double().mean(0).numpy()
    assert np.allclose(embed(["The cat sat on the mat."])[0], expected, atol=1e-5)


def test_neighbours_in_a_batch_do_not_matter(embed: TextEmbedder) -> None:
    texts = ["one", "", "two words", "three " * 400, "four"]
    together = embed(texts)
    assert np.array_equal(together, np.concatenate([embed([text]) for text in texts]))
    assert not together[1].any()


def test_long_texts_count_whole(embed: TextEmbedder, monkeypatch: pytest.MonkeyPatch) -> None:
    start = "the same beginning " * 300
    one, other = embed([start + "cats and dogs " * 50, start + "taxes and laws " * 50])
    assert not np.allclose(one, other, atol=1e-3)
    monkeypatch.setattr(module, "STEP_TOKENS", 600)
    again = embed([start + "cats and dogs " * 50])[0]
    assert np.allclose(one, again, atol=1e-5)


def test_like_texts_are_closer_than_others(embed: TextEmbedder) -> None:
    texts = ["How do I bake bread at home?", "How can I bake bread?", "SELECT name FROM users;"]
    vectors = embed(texts)
    vectors = vectors - vectors.mean(0)
    cosine = vectors @ vectors.T
    assert cosine[0, 1] > cosine[0, 2]
