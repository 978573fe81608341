"""All adapters of a model, by name and as one vector; more of it in test_lora.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from modiste.errors import InvalidInput
from modiste.nn.adapter_io import load_peft
from modiste.nn.adapters import Adapters
from modiste.nn.loading import load_base
from modiste.nn.lora import attach, attach_like


def attached(base: Path, **settings: object) -> Adapters:
    model = load_base(base, dtype=torch.float32).model
    adapters = attach(model, **({"rank": 2, "scaling": 1.5, "seed": 3} | settings))
    with torch.no_grad():
        adapters.flat.copy_(torch.randn(adapters.flat.shape))
    return adapters


SETTINGS = [
    ("mistral", {}),
    ("mistral", {"rslora": True}),
    ("llama", {"dora": True}),
    ("mixtral", {}),
    ("mixtral", {"targets": ["down_proj", "v_proj"]}),
]


@pytest.mark.parametrize(("family", "settings"), SETTINGS)
def test_what_is_saved_can_be_gone_on_from(
    family: str, settings: dict, random_base: Callable[..., Path], tmp_path: Path
) -> None:
    base = random_base(family, num_hidden_layers=2)
    adapters = attached(base, **settings)
    adapters.save(tmp_path / "one", base="random")
    read = load_peft(tmp_path / "one", dora=True)
    again = attach_like(load_base(base, dtype=torch.float32).model, read)
    assert torch.equal(again.flat, adapters.flat)
    assert again.scaling == pytest.approx(adapters.scaling, rel=1e-12)
    again.save(tmp_path / "other", base="random")
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "other" / file.name).read_bytes()


def test_magnitudes_are_not_decayed(random_base: Callable[..., Path]) -> None:
    adapters = attached(random_base("llama"), dora=True)
    magnitudes = torch.cat(list(adapters.magnitudes().values()))
    assert torch.equal(adapters.flat[adapters.n_decayed :], magnitudes)
    assert attached(random_base("llama")).n_decayed == attached(random_base("llama")).flat.numel()


def test_an_adapter_for_another_base_is_refused(
    random_base: Callable[..., Path], tmp_path: Path
) -> None:
    attached(random_base("llama")).save(tmp_path / "a", base="x")
    read = load_peft(tmp_path / "a", dora=True)
    small = load_base(random_base("llama", num_hidden_layers=2), dtype=torch.float32).model
    with pytest.raises(InvalidInput, match=r"model\.layers\.2\.\S+ names no linear layer"):
        attach_like(small, read)
    narrow = load_base(random_base("llama", intermediate_size=64), dtype=torch.float32).model
    with pytest.raises(InvalidInput, match=r"does not fit the model: .*down_proj"):
        attach_like(narrow, read)
