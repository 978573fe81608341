"""A base is served in the numbers it is stored in, unless somebody asks for others."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from modiste.nn import native
from modiste.nn.linear import Kind
from modiste.serve.precision import Precision, precision_of
from modiste.settings import ServeLinear


@pytest.fixture(scope="module")
def halves(random_base):
    """A base stored in bfloat16."""
    path = random_base("mistral", seed=77)
    tensors = load_file(path / "model.safetensors")
    halved = {name: tensor.to(torch.bfloat16) for name, tensor in tensors.items()}
    save_file(halved, path / "model.safetensors")
    return path


def test_auto_is_exact(random_base, halves):
    whole = random_base("mistral")
    assert precision_of(whole, ServeLinear.AUTO) == Precision(Kind.FP32, exact=True)
    lossless = Kind.FP32 if native.library() is None else Kind.BF16
    assert precision_of(halves, ServeLinear.AUTO) == Precision(lossless, exact=True)


def test_what_is_asked_for_is_done_and_told(random_base, halves):
    whole = random_base("mistral")
    assert precision_of(whole, ServeLinear.BF16) == Precision(Kind.BF16, exact=False)
    assert precision_of(halves, ServeLinear.BF16).exact is (native.library() is not None)
    assert precision_of(halves, ServeLinear.INT8) == Precision(Kind.INT8, exact=False)
    assert precision_of(halves, ServeLinear.FP32) == Precision(Kind.FP32, exact=True)
