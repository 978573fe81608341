"""nn/tensor_files.py: a base read tensor by tensor, and files others load as their own."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from modiste.errors import InvalidInput
from modiste.nn.tensor_files import Entry, TensorFiles, write_tensors

Make = Callable[..., Path]


def test_every_tensor_reads_as_safetensors_reads_it(random_base: Make) -> None:
    base = random_base("mistral")
    files, whole = TensorFiles(base), load_file(base / "model.safetensors")
    assert set(files.places) == set(whole)
    assert all(torch.equal(files.read(name), tensor) for name, tensor in whole.items())
    assert files.dtype is torch.float32


def test_shards_and_their_index_are_what_safetensors_reads(tmp_path: Path) -> None:
    tensors = {f"t{i}": torch.randn(i + 1, 7).to(torch.bfloat16) for i in range(9)}
    entries = [Entry(name, t.dtype, tuple(t.shape)) for name, t in tensors.items()]
    files = write_tensors(tmp_path, entries, tensors.__getitem__, shard_bytes=200)
    index = json.loads(files[-1].read_text())
    assert index["metadata"]["total_size"] == sum(t.numel() * 2 for t in tensors.values())
    for name, tensor in tensors.items():
        assert torch.equal(load_file(tmp_path / index["weight_map"][name])[name], tensor)
    assert len(files) > 3


def test_a_tensor_that_comes_out_otherwise_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="t became"):
        write_tensors(tmp_path, [Entry("t", torch.float16, (2,))], lambda name: torch.ones(2))


def test_quantised_numbers_are_refused_by_name(random_base: Make, tmp_path: Path) -> None:
    base = random_base("mistral")
    (tmp_path / "config.json").write_bytes((base / "config.json").read_bytes())
    save_file(
        {"model.norm.weight": torch.ones(4).to(torch.float8_e4m3fn)},
        tmp_path / "model.safetensors",
        metadata={"format": "pt"},
    )
    with pytest.raises(InvalidInput, match="stored as F8_E4M3; only plain numbers are read"):
        TensorFiles(tmp_path)


COPY = """
import resource, sys
from pathlib import Path
from modiste.nn.tensor_files import TensorFiles, write_tensors
files = TensorFiles(Path(sys.argv[1]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
write_tensors(Path(sys.argv[2]), files.entries, files.read)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_stays_at_the_largest_tensor(random_base: Make, tmp_path: Path) -> None:
    base = random_base("mistral", hidden_size=512, intermediate_size=2048, num_hidden_layers=12)
    size = (base / "model.safetensors").stat().st_size
    assert size > 180e6
    answer = subprocess.run(
        [sys.executable, "-c", COPY, str(base), str(tmp_path)], capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stderr
    # The largest matrix is 4 MB; buffers and allocator slack are why this is not tighter.
    assert int(answer.stdout) * 1024 < 40e6
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 0
