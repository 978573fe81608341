"""work/reread.py: a model that the engine cannot compute is certified from its own files."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import modiste
from modiste.errors import LeaseLost, ParityFailed
from modiste.nn.adapter_io import save_peft
from modiste.prepare import render
from modiste.tune.machine import Machine
from modiste.tune.spec import TuneSpec
from modiste.tune.tuned import Tuned, load
from modiste.types import FormStatus, Parity
from modiste.work import parity, reread
from modiste.work.closeness import Answers
from modiste.work.reread import Unread
from modiste.work.trained_rows import read_rows
from modiste.work.training_rows import DataFile, parity_rows, read_samples

Make = Callable[..., Path]
TINY = Path(modiste.__file__).parent / "bases" / "tiny"
CHAT = {"messages": [{"role": "user", "content": "a?"}, {"role": "assistant", "content": "b c."}]}
MACHINE = Machine(device="cpu", dtype="float32", threads=1)


@pytest.fixture
def gemma(random_base: Make, tmp_path: Path) -> Path:
    """A base that the engine does not compute, with the shipped base's tokens."""
    made = random_base("gemma2", vocab_size=4096, head_dim=12, sliding_window=32)
    base = Path(shutil.copytree(made, tmp_path / "base"))
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(TINY / name, base / name)
    return base


def trained(base: Path, run_dir: Path, **lora: object) -> Tuned:
    """What a trainer leaves in a run's folder, on a few random steps' worth of adapter."""
    spec = TuneSpec.model_validate(
        {"model": "m", "data": {"train": [{"file_id": "f"}]}, "lora": {"rank": 4, **lora}}
    )
    tuned = load(spec, base, MACHINE)
    with torch.no_grad():
        noise = torch.randn(tuned.learned.flat.shape, generator=torch.Generator().manual_seed(2))
        tuned.learned.flat.add_(noise * 0.1)
    tuned.learned.save(run_dir / "adapter", base="m")
    data = run_dir / "data.jsonl"
    data.write_text(json.dumps(CHAT) + "\n")
    samples = read_samples(
        DataFile(data, "data.jsonl", 1.0, frozenset()),
        renderer=render.load(base),
        max_length=64,
    )
    rows = parity_rows(samples, tuned, longest=64)
    (run_dir / "parity.json").write_text(json.dumps({"rows": rows}))
    return tuned


def check(base: Path, run_dir: Path) -> Parity:
    return parity.check(
        run_dir,
        base_path=base,
        adapter_folder=run_dir / "adapter",
        adapter_version="v",
        process_dir=run_dir,
    )


def test_another_family_gets_its_certificate_and_is_not_called_served(
    gemma: Path, tmp_path: Path
) -> None:
    trained(gemma, tmp_path)
    found = check(gemma, tmp_path)
    assert (found.passed, found.served) == (True, False)
    assert found.max_abs_logprob_diff < 1e-4 < found.base_gap
    assert found.message.startswith("Not served here: ")
    assert [(form.name, form.status, form.live) for form in found.forms] == [
        ("transformers", FormStatus.PASSED, False),
        ("merged", FormStatus.PASSED, False),
    ]
    assert found.forms[0].greedy is not None
    assert found.forms[0].greedy.partings == ()
    assert (
        "Its files, read afresh with transformers, compute what training computed" in found.message
    )
    assert "`modiste models export`" in found.message


def test_a_dora_on_a_base_that_is_served_is_certified_the_same_way(tmp_path: Path) -> None:
    trained(TINY, tmp_path, dora=True)
    found = check(TINY, tmp_path)
    assert (found.passed, found.served) == (True, False)
    assert "this adapter has DoRA" in found.message


def test_files_that_compute_something_else_get_no_certificate(gemma: Path, tmp_path: Path) -> None:
    trained(gemma, tmp_path)
    a, b = torch.zeros(4, 48), torch.zeros(48, 4)
    lost = {"model.layers.0.self_attn.q_proj": (a, b)}
    save_peft(tmp_path / "adapter", lost, rank=4, scaling=1.0, targets=["q_proj"], base="m")
    with pytest.raises(ParityFailed, match="does not compute what training computed"):
        check(gemma, tmp_path)


def test_files_that_cannot_be_read_say_so(gemma: Path, tmp_path: Path) -> None:
    trained(gemma, tmp_path)
    (tmp_path / "adapter" / "adapter_model.safetensors").write_bytes(b"12345678")
    with pytest.raises(ParityFailed, match=r"afresh failed: .*cannot be read") as told:
        check(gemma, tmp_path)
    assert told.value.error_code == "parity_unchecked"


def asked(run_dir: Path, **options: Any) -> dict[str, Answers | Unread]:
    rows = [] if not (run_dir / "parity.json").exists() else read_rows(run_dir / "parity.json")
    given = {"forms": ["published"], "base": TINY, "adapter": None, "environment": os.environ}
    return reread.answers(run_dir, rows, **{**given, **options})


def test_who_is_no_longer_wanted_stops_and_leaves_no_process(tmp_path: Path) -> None:
    def gone() -> None:
        raise LeaseLost("cancelled")

    with pytest.raises(LeaseLost):
        asked(tmp_path, still_wanted=gone)
    told = asked(tmp_path, timeout_s=0.0)
    assert told == {"published": Unread("did not end within 0 s")}


def test_a_child_that_dies_leaves_what_it_had_computed(tmp_path: Path) -> None:
    trained(TINY, tmp_path, dora=True)
    forms = ["fp32", "merged", "no such form", "int8"]
    told = asked(tmp_path, adapter=tmp_path / "adapter", forms=forms)
    assert list(told) == forms
    fp32, merged, unknown, int8 = told.values()
    assert isinstance(fp32, Unread)
    assert "failed: " in fp32.reason
    assert "DoRA" in fp32.reason
    assert isinstance(merged, Answers)
    assert unknown == int8
    assert isinstance(unknown, Unread)
    assert "ended with exit code 1" in unknown.reason
    assert "KeyError" in unknown.reason
