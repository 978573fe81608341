"""A folder says what base it holds, or everything it lacks."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from modiste.errors import InvalidInput
from modiste.nn.base import Layout, describe_base
from modiste.nn.loading import load_base

TINY = Path(__file__).parents[2] / "src/modiste/bases/tiny"


def test_the_base_that_ships_is_described() -> None:
    info = describe_base(TINY)
    assert info.n_parameters == 5_902_592
    assert info.architecture == "MistralForCausalLM"
    assert info.layout is Layout.HUGGING_FACE
    assert (info.n_layers, info.n_heads, info.n_kv_heads, info.head_dim) == (8, 8, 2, 32)
    assert info.weights_bytes == 2 * info.n_parameters <= 12_000_000


def test_describing_needs_no_torch() -> None:
    code = (
        "import sys; from pathlib import Path; from modiste.nn.base import describe_base; "
        f"describe_base(Path({str(TINY)!r})); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_lora_parameters_per_rank_are_counted(random_base: Callable[..., Path]) -> None:
    from modiste.nn.lora import attach

    base = load_base(random_base("mistral"), dtype=torch.float32)
    adapters = attach(base.model, rank=3, scaling=1.0)
    assert adapters.flat.numel() == 3 * base.info.linear_inputs_and_outputs


def test_sharded_weights_are_read_through_their_index(
    random_base: Callable[..., Path], tmp_path: Path
) -> None:
    whole = load_base(random_base("llama"), dtype=torch.float32)
    whole.model.save_pretrained(tmp_path, max_shard_size="100KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    assert describe_base(tmp_path).n_parameters == whole.info.n_parameters
    ids = torch.arange(9)[None]
    again = load_base(tmp_path, dtype=torch.float32).model
    assert torch.equal(again(input_ids=ids).logits, whole.model(input_ids=ids).logits)

    next(tmp_path.glob("model-*.safetensors")).unlink()
    with pytest.raises(InvalidInput, match="1 are missing: model-"):
        describe_base(tmp_path)


@pytest.fixture
def copy(random_base: Callable[..., Path], tmp_path: Path) -> Path:
    """A base to break."""
    import shutil

    return Path(shutil.copytree(random_base("mistral"), tmp_path / "base"))


def test_a_folder_that_is_no_model_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"neither config\.json"):
        describe_base(tmp_path)
    with pytest.raises(InvalidInput, match="no such folder"):
        describe_base(tmp_path / "absent")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InvalidInput, match=r"model\.safetensors is missing"):
        describe_base(tmp_path)


def test_pickled_weights_are_refused_with_a_reason(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    (copy / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(InvalidInput, match=r"pickles \(pytorch_model.bin\), which can run code"):
        describe_base(copy)


@pytest.mark.parametrize("damage", ["cut", "empty", "html"])
def test_a_damaged_weight_file_is_refused(copy: Path, damage: str) -> None:
    file = copy / "model.safetensors"
    content = {"cut": file.read_bytes()[:-100], "empty": b"", "html": b"<html>" * 50}[damage]
    file.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"not a complete safetensors file .* download it again"):
        describe_base(copy)


@pytest.mark.parametrize(
    ("content", "says"),
    [("{", "not JSON"), ("[]", "expected a JSON object"), ("{}", "model_type is missing")],
)
def test_a_damaged_config_is_refused(copy: Path, content: str, says: str) -> None:
    (copy / "config.json").write_text(content)
    with pytest.raises(InvalidInput, match=says):
        describe_base(copy)


def test_a_config_without_sizes_is_refused_by_name(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    del config["max_position_embeddings"]
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(InvalidInput, match="max_position_embeddings is not a number"):
        describe_base(copy)
