"""Forms of one adapter, computed from its files: each is near training, and can be found apart."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import modiste
from modiste.errors import ParityFailed
from modiste.nn.adapter_io import save_peft
from modiste.prepare.render import Rendered
from modiste.tune.machine import Machine
from modiste.tune.spec import TuneSpec
from modiste.tune.tuned import Tuned, load
from modiste.types import Example, FormStatus, Parity, SampleType
from modiste.work import closeness, forms, parity, training_rows
from modiste.work.closeness import Found
from modiste.work.trained_rows import Row, read_rows
from modiste.work.training_rows import Sample

TINY = Path(modiste.__file__).parent / "bases" / "tiny"
MACHINE = Machine(device="cpu", dtype="float32", threads=1)
TEXTS = ([*range(300, 340)], [*range(900, 930)])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder with an adapter that changes a lot, and what the trainer says of it."""
    folder = tmp_path_factory.mktemp("run")
    spec = TuneSpec.model_validate(
        {"model": "m", "data": {"train": [{"file_id": "f"}]}, "lora": {"rank": 4}}
    )
    tuned: Tuned = load(spec, TINY, MACHINE)
    with torch.no_grad():
        noise = torch.randn(tuned.learned.flat.shape, generator=torch.Generator().manual_seed(2))
        tuned.learned.flat.add_(noise * 0.08)
    tuned.learned.save(folder / "adapter", base="m")
    samples = [
        Sample(
            Example(line=1, sample_type=SampleType.PRETRAIN, text="text"),
            Rendered(list(ids), [False, *[True] * (len(ids) - 1)]),
        )
        for ids in TEXTS
    ]
    rows = training_rows.parity_rows(iter(samples), tuned, longest=256)
    (folder / "parity.json").write_text(json.dumps({"rows": rows}))
    return folder


def measured(form: str, folder: Path, tolerance: closeness.Tolerance, *, adapter: str) -> Found:
    rows: list[Row] = read_rows(folder / "parity.json")
    prompts = [forms.Prompt(row.prompt, row.greedy.ids) for row in rows if row.greedy is not None]
    ids = [row.ids for row in rows]
    told = forms.answers(form, TINY, folder / adapter, ids, prompts)
    return closeness.close(rows, told, tolerance, lambda ids, position: str(ids[position]))


@pytest.mark.parametrize(
    ("form", "tolerance"),
    [
        ("published", closeness.EXACT),
        ("fp32", closeness.EXACT),
        ("bf16", closeness.ROUNDED["bf16"]),
        ("int8", closeness.ROUNDED["int8"]),
        ("merged", closeness.ROUNDED["bf16"]),
        ("published merged", closeness.ROUNDED["bf16"]),
    ],
)
def test_every_form_is_near_training(
    trained: Path, form: str, tolerance: closeness.Tolerance
) -> None:
    found = measured(form, trained, tolerance, adapter="adapter")
    assert found.parted == []
    assert found.mean < found.gap / 10
    assert found.greedy is not None
    assert (found.greedy.n_prompts, found.greedy.n_tokens) == (2, 32)
    if tolerance == closeness.EXACT:
        assert found.greedy.partings == ()


def test_both_ways_of_merging_hold_the_same_weights(trained: Path) -> None:
    rows = [list(TEXTS[0])]
    ours = forms.answers("merged", TINY, trained / "adapter", rows, []).logprobs[0]
    theirs = forms.answers("published merged", TINY, trained / "adapter", rows, []).logprobs[0]
    beside = forms.answers("published", TINY, trained / "adapter", rows, []).logprobs[0]
    # The bound of exact computations: sums in another order.
    assert ours == pytest.approx(theirs, abs=closeness.EXACT.largest)
    assert ours != pytest.approx(beside, abs=closeness.EXACT.largest)


@pytest.mark.parametrize("form", ["published", "fp32", "int8", "merged"])
def test_a_lost_adapter_is_seen_in_every_form(trained: Path, form: str) -> None:
    zeros = {"model.layers.0.self_attn.q_proj": (torch.zeros(4, 256), torch.zeros(256, 4))}
    lost = trained / "lost"
    save_peft(lost, zeros, rank=4, scaling=1.0, targets=["q_proj"], base="m")
    tolerance = closeness.ROUNDED.get(form, closeness.EXACT)
    assert measured(form, trained, tolerance, adapter="lost").parted != []


def test_a_model_without_an_adapter_is_computed_as_it_lies() -> None:
    rows = [list(TEXTS[1])]
    (one,) = forms.answers("fp32", TINY, None, rows, []).logprobs
    (other,) = forms.answers("published", TINY, None, rows, []).logprobs
    assert one == pytest.approx(other, abs=closeness.EXACT.largest)


@pytest.mark.slow
def test_the_live_engine_gets_a_certificate_of_all_forms_and_a_damaged_adapter_none(
    served: Any, trained: Path, tmp_path: Path
) -> None:
    def certified(adapter: Path) -> Parity:
        return parity.check(
            trained,
            base_path=TINY,
            adapter_folder=adapter,
            adapter_version=adapter.name,
            process_dir=served.process_dir,
        )

    found = certified(trained / "adapter")
    live, *others = found.forms
    assert live.live
    kinds = {"fp32", "bf16", "int8", "merged"}
    assert live.name in kinds
    assert {form.name for form in others} == kinds - {live.name}
    assert {form.status for form in found.forms} == {FormStatus.PASSED}
    assert live.greedy is not None
    assert (live.greedy.n_tokens, live.greedy.partings) == (32, ())
    assert live.loss is not None
    assert live.loss.found == pytest.approx(live.loss.trained, rel=1e-3)

    damaged = Path(shutil.copytree(trained / "adapter", tmp_path / "damaged"))
    tensors = load_file(damaged / "adapter_model.safetensors")
    name = next(name for name in tensors if name.endswith("lora_B.weight"))
    save_file({**tensors, name: tensors[name] * 1.1}, damaged / "adapter_model.safetensors")
    with pytest.raises(ParityFailed, match="does not compute what training computed"):
        certified(damaged)
