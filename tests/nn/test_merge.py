"""nn/merge.py: base and adapter as one model, in flat memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from modiste.errors import InvalidInput
from modiste.nn.adapter_io import save_peft
from modiste.nn.changes import Change
from modiste.nn.merge import Merged, write_consolidated, write_hugging_face
from modiste.nn.tensor_files import TensorFiles

Make = Callable[..., Path]
Q = "model.layers.1.self_attn.q_proj"


def change(outputs: int = 48, inputs: int = 48) -> Change:
    return Change(torch.randn(2, inputs), torch.randn(outputs, 2), 0.5)


def test_only_what_the_adapter_names_is_changed(random_base: Make, tmp_path: Path) -> None:
    base = random_base("mistral")
    files, one = TensorFiles(base), change()
    write_hugging_face(Merged(files, {Q: one}), base, tmp_path)
    before, after = load_file(base / "model.safetensors"), load_file(tmp_path / "model.safetensors")
    expected = before[f"{Q}.weight"] + 0.5 * one.B_OR @ one.A_RI
    assert torch.allclose(after.pop(f"{Q}.weight"), expected, atol=1e-6)
    assert all(torch.equal(tensor, before[name]) for name, tensor in after.items())


def test_layers_that_do_not_fit_are_all_named(random_base: Make) -> None:
    files = TensorFiles(random_base("mistral"))
    with pytest.raises(InvalidInput, match=r"not_there is not in the base; .*q_proj is \(7, 48\)"):
        Merged(files, {"model.layers.0.not_there": change(), Q: change(outputs=7)})


def test_a_tied_output_is_written_out_for_mistral_inference(
    random_base: Make, tmp_path: Path
) -> None:
    base = random_base("mistral", tie_word_embeddings=True)
    write_consolidated(Merged(TensorFiles(base), {}), base, tmp_path)
    tensors = load_file(tmp_path / "consolidated.safetensors")
    assert torch.equal(tensors["output.weight"], tensors["tok_embeddings.weight"])


MERGE = """
import resource, sys
from pathlib import Path
from modiste.nn.export import export
base, adapter, into = map(Path, sys.argv[1:])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
export("merged", base=base, adapter=adapter, into=into, verify=False)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_merging_takes_the_memory_of_a_few_matrices(random_base: Make, tmp_path: Path) -> None:
    base = random_base("mistral", hidden_size=512, intermediate_size=2048, num_hidden_layers=12)
    weights = {
        entry.name.removesuffix(".weight"): (
            torch.randn(2, entry.shape[1]),
            torch.randn(entry.shape[0], 2),
        )
        for entry in TensorFiles(base).entries
        if entry.name.endswith("_proj.weight")
    }
    targets = sorted({name.rpartition(".")[2] for name in weights})
    save_peft(tmp_path / "a", weights, rank=2, scaling=1.0, targets=targets, base="b")
    command = [sys.executable, "-c", MERGE, base, tmp_path / "a", tmp_path / "out"]
    answer = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    # Of 190 MB in all, the largest matrix has 4 MB; a few copies, the adapter, allocator slack.
    assert int(answer.stdout) * 1024 < 60e6
