"""nn/export.py: every form computes what base and adapter compute, or it is said."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from modiste.errors import ExportFailed, InvalidInput
from modiste.nn import export as module
from modiste.nn import proof
from modiste.nn.adapter_io import save_peft
from modiste.nn.changes import read_changes
from modiste.nn.export import Exported, Form, export
from modiste.nn.loading import load_base
from modiste.nn.tensor_files import TensorFiles

Make = Callable[..., Path]
PROMPT = [[5, 17, 3, 99, 42, 7, 150, 8, 8, 61, 2, 77]]


def adapter_for(base: Path, into: Path, *, rank: int = 4, scaling: float = 1.5) -> Path:
    """A random LoRA on every linear layer of attention and, where there is one, the MLP."""
    generator = torch.Generator().manual_seed(3)
    weights = {}
    for entry in TensorFiles(base).entries:
        name = entry.name.removesuffix(".weight")
        if name.endswith("_proj") and ".experts." not in name:
            a = torch.randn(rank, entry.shape[1], generator=generator) * 0.1
            weights[name] = (a, torch.randn(entry.shape[0], rank, generator=generator) * 0.1)
    targets = sorted({name.rpartition(".")[2] for name in weights})
    folder = into / "adapter"
    save_peft(folder, weights, rank=rank, scaling=scaling, targets=targets, base="some/base")
    return folder


def in_dtype(base: Path, into: Path, dtype: torch.dtype) -> Path:
    import shutil

    shutil.copytree(base, into)
    tensors = {n: t.to(dtype) for n, t in load_file(base / "model.safetensors").items()}
    save_file(tensors, into / "model.safetensors", metadata={"format": "pt"})
    return into


def out(
    form: Form | str, base: Path, adapter: Path | None, tmp_path: Path, **more: Any
) -> Exported:
    return export(form, base=base, adapter=adapter, into=tmp_path / f"out-{form}", **more)


def test_forms_are_named_as_people_type_them(random_base: Make, tmp_path: Path) -> None:
    assert [str(form) for form in Form] == ["peft", "mistral", "merged", "merged-mistral", "gguf"]
    with pytest.raises(InvalidInput, match="form is 'onnx', expected peft, mistral, merged"):
        out("onnx", random_base("mistral"), None, tmp_path)


@pytest.mark.parametrize(
    ("family", "form"),
    [
        (family, form)
        for family in ("mistral", "llama", "mixtral")
        for form in ("peft", "mistral", "merged", "merged-mistral")
    ]
    + [(family, form) for family in ("qwen2", "qwen3", "gemma2") for form in ("peft", "merged")],
)
def test_every_form_computes_what_base_and_adapter_compute(
    random_base: Make, tmp_path: Path, family: str, form: str
) -> None:
    sizes = {"gemma2": {"head_dim": 12, "sliding_window": 9}, "qwen2": {}}
    base = random_base(family, **sizes.get(family, {"head_dim": 12}))
    done = out(form, base, adapter_for(base, tmp_path), tmp_path)
    assert done.verified is not None, done.note
    # fp32 against fp32: sums in another order, logits of size 10.
    assert done.verified.max_abs_diff < 2e-4
    assert done.verified.adapter_effect is not None
    assert done.verified.adapter_effect > 1000 * done.verified.max_abs_diff
    assert "verified with" in done.note
    assert all(path.is_file() for path in done.files)
    assert "base_model: some/base" in (tmp_path / f"out-{form}" / "README.md").read_text()


def test_sixteen_bit_models_may_differ_by_their_rounding_and_it_is_said(
    random_base: Make, tmp_path: Path
) -> None:
    base = in_dtype(random_base("mistral"), tmp_path / "base", torch.bfloat16)
    adapter = adapter_for(base, tmp_path)
    done = out("merged", base, adapter, tmp_path)
    stored = load_file(tmp_path / "out-merged" / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.bfloat16}
    assert done.verified is not None
    assert done.verified.max_abs_diff < 2e-4 < done.verified.rounding
    assert "rounding weights for this form moves logits by up to" in done.note


@pytest.mark.parametrize("form", ["mistral", "merged-mistral"])
def test_rounding_an_adapter_or_a_model_to_bf16_is_the_only_difference(
    random_base: Make, tmp_path: Path, form: str
) -> None:
    base = in_dtype(random_base("mixtral"), tmp_path / "base", torch.bfloat16)
    done = out(form, base, adapter_for(base, tmp_path), tmp_path)
    assert done.verified is not None
    assert done.verified.max_abs_diff < 2e-4 < done.verified.rounding


def test_an_adapter_smaller_than_the_rounding_is_not_called_verified(
    random_base: Make, tmp_path: Path
) -> None:
    base = in_dtype(random_base("mistral"), tmp_path / "base", torch.bfloat16)
    adapter = adapter_for(base, tmp_path, scaling=1e-5)
    done = out("merged", base, adapter, tmp_path)
    assert done.verified is None
    assert "not verified: the adapter moves logits by at most" in done.note


def test_a_wrong_export_is_refused_and_kept_apart(
    random_base: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = random_base("mistral")
    monkeypatch.setattr("modiste.nn.consolidated.pairs_from_halves", lambda w, head_dim: w)
    with pytest.raises(ExportFailed, match=r"logits are up to .* apart from what they should be"):
        out("merged-mistral", base, adapter_for(base, tmp_path), tmp_path)
    assert not (tmp_path / "out-merged-mistral").exists()
    assert (tmp_path / "out-merged-mistral.failed").is_dir()


def test_an_adapter_in_mistrals_layout_becomes_one_that_peft_loads_and_back(
    random_base: Make, tmp_path: Path
) -> None:
    base = random_base("mistral")
    adapter = adapter_for(base, tmp_path)
    out("mistral", base, adapter, tmp_path)
    back = export("peft", base=base, adapter=tmp_path / "out-mistral", into=tmp_path / "back")
    assert back.verified is not None
    assert back.verified.read_by.startswith("peft ")
    config = TensorFiles(base).config
    before, after = read_changes(adapter, config), read_changes(tmp_path / "back", config)
    assert before.keys() == after.keys()
    for name, change in before.items():
        assert torch.equal(change.A_RI, after[name].A_RI)
        assert torch.equal(change.B_OR, after[name].B_OR)


def test_a_whole_model_has_no_adapter_to_export(random_base: Make, tmp_path: Path) -> None:
    base = random_base("mistral")
    with pytest.raises(InvalidInput, match="whole model without an adapter"):
        out("peft", base, None, tmp_path)
    done = out("merged-mistral", base, None, tmp_path)
    assert done.verified is not None
    assert done.verified.adapter_effect is None
    assert (
        "base_model_relation: finetune" in (tmp_path / "out-merged-mistral/README.md").read_text()
    )


def test_families_that_mistrals_layout_cannot_hold_are_refused_by_name(
    random_base: Make, tmp_path: Path
) -> None:
    base = random_base("qwen3", head_dim=12)
    with pytest.raises(InvalidInput, match="not model_type 'qwen3'; take the form merged or peft"):
        out("merged-mistral", base, adapter_for(base, tmp_path), tmp_path)
    assert not list(tmp_path.glob("out*"))


def test_an_export_that_breaks_off_leaves_nothing_behind(
    random_base: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    base = random_base("mistral")
    monkeypatch.setattr("modiste.nn.export._prove", full)
    place = tmp_path / "place"
    with pytest.raises(OSError, match="No space"):
        export("merged", base=base, adapter=None, into=place / "out")
    assert list(place.iterdir()) == []


def test_a_folder_with_something_in_it_is_never_overwritten(
    random_base: Make, tmp_path: Path
) -> None:
    (tmp_path / "out-merged").mkdir()
    (tmp_path / "out-merged" / "mine").touch()
    with pytest.raises(InvalidInput, match="is there already; give a new folder"):
        out("merged", random_base("mistral"), None, tmp_path)


def test_what_was_not_verified_says_why(
    random_base: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = random_base("mistral")
    adapter = adapter_for(base, tmp_path)
    quick = export("merged", base=base, adapter=adapter, into=tmp_path / "a", verify=False)
    assert (quick.verified, quick.note) == (None, "not verified: not asked for")
    monkeypatch.setattr(module.proof, "room_for", lambda info: "no room")
    small = export("merged", base=base, adapter=adapter, into=tmp_path / "b")
    assert (small.verified, small.note) == (None, "not verified: no room")
    monkeypatch.undo()
    monkeypatch.setattr(module.proof, "reader", lambda package: None)
    lacking = export("peft", base=base, adapter=adapter, into=tmp_path / "c")
    assert lacking.verified is None
    assert "PEFT is not installed" in lacking.note


def test_prompts_of_the_caller_are_what_is_compared(random_base: Make, tmp_path: Path) -> None:
    base = random_base("mistral")
    done = out("merged", base, adapter_for(base, tmp_path), tmp_path, prompts=PROMPT)
    assert done.verified is not None
    assert done.verified.n_positions == len(PROMPT[0])
    model = load_base(tmp_path / "out-merged", dtype=torch.float32).model
    wanted = proof.reference(base, read_changes(tmp_path / "adapter", {}), prompts=PROMPT)
    assert torch.allclose(proof.logits_of(model, PROMPT)[0], wanted.trained[0], atol=2e-4)
    assert json.loads((tmp_path / "out-merged" / "config.json").read_text())


@pytest.mark.slow
def test_libraries_that_read_an_export_back_print_nothing_of_their_own(
    random_base: Make, tmp_path: Path
) -> None:
    """In a process of its own, as bitsandbytes speaks when PEFT is first imported, and with logging
    set up, as a handler keeps its stream. What it speaks of are kernels of CPUs with bf16: on
    others this cannot fail."""
    base = random_base("mistral")
    adapter = adapter_for(base, tmp_path)
    program = f"""
import logging
from pathlib import Path
logging.basicConfig()
from modiste.nn.export import export
for form in ("peft", "merged"):
    export(form, base=Path({str(base)!r}), adapter=Path({str(adapter)!r}),
           into=Path({str(tmp_path)!r}) / form)
"""
    command = [sys.executable, "-W", "default::FutureWarning", "-c", program]
    told = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")
