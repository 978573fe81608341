"""What a method makes of a base: four bits, all weights, an adapter to continue from."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM

from modiste.errors import InvalidInput
from modiste.nn.adapter_io import load_peft
from modiste.nn.adapters import Adapters
from modiste.nn.export import export
from modiste.nn.quantized import QuantizedLinear, dequantize, quantize, quantized_matrices
from modiste.tune.loss import Document, collate
from modiste.tune.machine import Machine
from modiste.tune.tuned import Tuned, in_fp32, load

from .conftest import ONE_THREAD, Killed, Run, spec_of

MakeRun = Callable[..., Run]


def documents(lengths: tuple[int, ...] = (30, 9, 17)) -> list[Document]:
    generator = torch.Generator().manual_seed(3)
    made = []
    for length in lengths:
        ids = torch.randint(199, (length,), generator=generator).tolist()
        made.append(Document(ids, [i % 3 != 0 for i in range(length)]))
    return made


def learn(tuned: Tuned) -> tuple[float, torch.Tensor]:
    tuned.learned.zero_grad()
    with tuned.learned.training(1, 0, 0):
        loss = tuned.scorer.loss(collate(documents()))
        loss.backward()
    return loss.item(), tuned.learned.flat.grad.clone()


def moved(tuned: Tuned) -> Tuned:
    """B starts at zero, which would hide most of what could be wrong."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        tuned.learned.flat.add_(0.05 * torch.randn(tuned.learned.flat.shape, generator=generator))
    return tuned


@pytest.mark.parametrize("family", ["mistral", "mixtral", "llama"])
def test_qlora_trains_as_lora_on_the_matrices_read_back(
    family: str, random_base: Callable[..., Path], tmp_path: Path
) -> None:
    base = random_base(family, num_hidden_layers=2)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("_proj.weight"):
                parameter.copy_(dequantize(quantize(parameter), torch.float32))
            elif "experts." in name:
                parameter.copy_(
                    torch.stack([dequantize(quantize(w), torch.float32) for w in parameter])
                )
    model.save_pretrained(tmp_path / "read-back")
    four = moved(load(spec_of(method="qlora"), base, ONE_THREAD))
    exact = moved(load(spec_of(), tmp_path / "read-back", ONE_THREAD))
    (loss, gradient), (expected, wanted) = learn(four), learn(exact)
    # fp32, products in another order; 4-bit rounding itself would show as 1e-1.
    assert loss == pytest.approx(expected, rel=1e-5)
    assert float((gradient - wanted).norm() / wanted.norm()) < 1e-5


def test_everything_but_head_and_embeddings_is_in_four_bits(base: Path) -> None:
    tuned = load(spec_of(method="qlora", lora={"rank": 4, "targets": ["q_proj"]}), base, ONE_THREAD)
    kept = [m for m in tuned.scorer.model.modules() if isinstance(m, QuantizedLinear)]
    assert len(kept) == 2 * 6
    matrices = list(quantized_matrices(tuned.scorer.model))
    assert len(matrices) == 2 * 7
    weights = sum(p.numel() for p in tuned.scorer.model.parameters() if not p.requires_grad)
    assert weights == 2 * 199 * 48 + 5 * 48
    shapes = [torch.Size(m.quantized.shape).numel() for m in matrices]
    # 4 bits, and 8 bits and a 256th of 32 for every 64 values; an offset and one more scale each.
    assert sum(m.n_bytes for m in matrices) / sum(shapes) < 0.52


def test_dora_learns_on_four_bits_too(base: Path) -> None:
    spec = spec_of(method="qlora", lora={"rank": 4, "dora": True, "dropout": 0.1})
    loss, gradient = learn(moved(load(spec, base, ONE_THREAD)))
    assert bool(gradient.isfinite().all())
    assert (loss, gradient.sum()) == (
        lambda again: (again[0], again[1].sum())
    )(learn(moved(load(spec, base, ONE_THREAD))))  # fmt: skip


def test_what_was_trained_on_four_bits_is_measured_on_the_base_that_is_served(base: Path) -> None:
    four = moved(load(spec_of(method="qlora"), base, ONE_THREAD))
    served, plain = in_fp32(four, spec_of(method="qlora"), base), load(spec_of(), base, ONE_THREAD)
    with torch.no_grad():
        plain.learned.flat.copy_(four.learned.flat)
    ids = [5, 6, 7, 8]
    assert served.logprobs(ids) == pytest.approx(plain.logprobs(ids), abs=1e-4)
    assert served.logprobs(ids) != pytest.approx(four.logprobs(ids), abs=1e-3)


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("mistral", {}),
        ("llama", {"tie_word_embeddings": True, "attention_bias": True, "mlp_bias": True}),
        ("qwen3", {"head_dim": 12}),
        ("gemma2", {"head_dim": 12, "tie_word_embeddings": True, "sliding_window": 9}),
        ("mixtral", {"num_hidden_layers": 2}),
    ],
)
def test_full_fine_tuning_has_the_loss_and_gradients_of_transformers(
    family: str, changes: dict[str, Any], random_base: Callable[..., Path]
) -> None:
    base = random_base(family, **changes)
    tuned = load(spec_of(method="full"), base, ONE_THREAD)
    loss, _ = learn(tuned)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    total = torch.zeros(())
    for document in documents():
        ids = torch.tensor([document.ids])
        kept = torch.tensor(document.mask[1:])
        logits = model(input_ids=ids).logits[0, :-1][kept]
        total = total + torch.nn.functional.cross_entropy(logits, ids[0, 1:][kept], reduction="sum")
    total.backward()
    assert loss == pytest.approx(total.item(), rel=1e-5)
    ours = dict(tuned.scorer.model.named_parameters())
    far = {
        name: float((ours[name].grad - p.grad).norm() / p.grad.norm().clamp_min(1e-6))
        for name, p in model.named_parameters()
    }
    # fp32 sums in another order: about 3e-6; keys' biases have a gradient of nothing but rounding.
    assert max(v for n, v in far.items() if not n.endswith("k_proj.bias")) < 3e-5, far
    assert tuned.learned.flat.numel() == sum(p.numel() for p in model.parameters())
    assert tuned.learned.n_decayed == sum(p.numel() for p in model.parameters() if p.ndim > 1)


def test_a_fully_tuned_model_is_a_folder_that_transformers_loads(
    make_run: MakeRun, base: Path, tmp_path: Path
) -> None:
    shutil.copytree(base, tmp_path / "base")
    (tmp_path / "base" / "tokenizer_config.json").write_text("{}")
    run = make_run(method="full", learning_rate=1e-3, base=tmp_path / "base")
    done = run.start()
    assert run.losses()[12][0] < run.losses()[1][0]
    assert {p.name for p in done.result_dir.iterdir()} == {
        "config.json", "generation_config.json", "model.safetensors", "tokenizer_config.json",
    }  # fmt: skip
    assert "modiste" not in (done.result_dir / "config.json").read_text()
    with safe_open(done.result_dir / "model.safetensors", framework="pt") as tensors:
        assert tensors.get_tensor("model.norm.weight").dtype is torch.float32
    model = AutoModelForCausalLM.from_pretrained(done.result_dir)
    ids = [3, 4, 5, 6, 7]
    logprobs = model(torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
    theirs = [float(logprobs[i, token]) for i, token in enumerate(ids[1:])]
    assert done.tuned.logprobs(ids) == pytest.approx(theirs, abs=1e-4)
    again = load(spec_of(method="full"), done.result_dir, ONE_THREAD)
    assert torch.equal(again.learned.flat, done.tuned.learned.flat)


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "full", "learning_rate": 1e-3},
        {"method": "qlora"},
        {"lora": {"rank": 4, "dropout": 0.2}},
        {"lora": {"rank": 4, "dropout": 0.2, "dora": True, "rslora": True}},
        {"lora": {"rank": 4, "dropout": 0.2}, "gradient_checkpointing": True},
    ],
    ids=str,
)
def test_every_method_goes_on_bit_by_bit_after_a_kill(
    changes: dict[str, Any], make_run: MakeRun
) -> None:
    whole = make_run("whole", **changes)
    whole.start()
    cut = make_run("cut", **changes)
    with pytest.raises(Killed):
        cut.start(kill_at=lambda event: event.name == "step" and event.step == 7)
    cut.start()
    assert cut.losses() == whole.losses()
    (file,) = (whole.run_dir / "adapter").glob("*model.safetensors")
    assert (cut.run_dir / "adapter" / file.name).read_bytes() == file.read_bytes()


def test_dropout_and_its_absence_differ_in_training_only(make_run: MakeRun) -> None:
    plain, dropped = make_run("plain"), make_run("dropped", lora={"rank": 4, "dropout": 0.3})
    plain.start()
    done = dropped.start()
    assert plain.losses()[1][0] == dropped.losses()[1][0]  # B is zero
    assert plain.losses()[12] != dropped.losses()[12]
    assert done.tuned.logprobs([3, 4, 5]) == done.tuned.logprobs([3, 4, 5])


@pytest.mark.parametrize("lora", [{}, {"rslora": True}, {"dora": True}, {"alpha": 3}], ids=str)
def test_a_run_goes_on_from_an_adapter_where_it_stands(
    lora: dict[str, Any], make_run: MakeRun, base: Path
) -> None:
    first = make_run("first", lora={"rank": 4, "targets": ["q_proj", "down_proj"], **lora}).start()
    spec = spec_of(lora={}, continue_from=str(first.result_dir))
    again = load(spec, base, ONE_THREAD)
    assert torch.equal(again.learned.flat, first.tuned.learned.flat)
    assert learn(again)[0] == learn(first.tuned)[0]
    more = make_run("more", lora={}, continue_from=str(first.result_dir)).start()
    read = load_peft(more.result_dir, dora=True)
    assert {name.rpartition(".")[2] for name in read.layers} == {"q_proj", "down_proj"}
    assert isinstance(more.tuned.learned, Adapters)
    assert not torch.equal(more.tuned.learned.flat, first.tuned.learned.flat)


def test_an_adapter_that_peft_made_can_be_gone_on_from(
    base: Path, random_adapter: Callable[..., Path]
) -> None:
    folder = random_adapter(
        base, rank_pattern={"q_proj": 3}, alpha_pattern={"up_proj": 5}, lora_dropout=0.1
    )
    tuned = load(spec_of(lora={}, continue_from=str(folder)), base, ONE_THREAD)
    adapters = tuned.learned
    assert isinstance(adapters, Adapters)
    read = load_peft(folder)
    for name, (a, b) in adapters.weights().items():
        assert torch.equal(a, read.layers[name].A_RI)
        assert torch.equal(b, read.layers[name].B_OR)
        assert adapters.modules[name].scaling == read.layers[name].scaling


def test_what_contradicts_the_adapter_is_refused_together(make_run: MakeRun, base: Path) -> None:
    folder = str(make_run(lora={"rank": 4, "targets": ["q_proj"]}).start().result_dir)
    spec = spec_of(
        lora={"rank": 8, "alpha": 3, "dora": True, "rslora": True, "targets": ["v_proj"]},
        continue_from=folder,
    )
    with pytest.raises(InvalidInput) as raised:
        load(spec, base, ONE_THREAD)
    said = raised.value.message
    for words in (
        "lora.rank is 8, the adapter has 4",
        "lora.alpha is 3.0, the adapter has 8",
        "lora.rslora is True",
        "lora.dora is True",
        "lora.targets is v_proj",
    ):
        assert words in said
    with pytest.raises(InvalidInput, match=r"continue_from: .*nowhere is no folder"):
        load(spec_of(continue_from="nowhere"), base, ONE_THREAD)


def test_full_fine_tuning_refuses_what_it_has_not(base: Path) -> None:
    with pytest.raises(InvalidInput, match="adapter and method full has none; set model"):
        spec_of(method="full", continue_from="adapter")
    with pytest.raises(InvalidInput, match="which takes float32; leave dtype out"):
        spec_of(method="full", dtype="bfloat16")
    with pytest.raises(InvalidInput, match="began with bfloat16: start it anew"):
        load(spec_of(method="full"), base, replace(ONE_THREAD, dtype="bfloat16"))


def test_an_adapter_in_mistrals_layout_can_be_gone_on_from(
    base: Path, make_run: MakeRun, tmp_path: Path
) -> None:
    first = make_run(lora={"rank": 4}).start()
    export("mistral", base=base, adapter=first.result_dir, into=tmp_path / "mistral")
    tuned = load(spec_of(lora={}, continue_from=str(tmp_path / "mistral")), base, ONE_THREAD)
    ids = [5, 6, 7, 8]
    # What mistral-finetune reads is stored in bf16 or fp32; here fp32, so nothing is lost.
    assert tuned.logprobs(ids) == pytest.approx(first.tuned.logprobs(ids), abs=1e-4)


@pytest.mark.parametrize("method", ["lora", "full", "qlora"])
@pytest.mark.parametrize("family", ["mistral", "mixtral", "gemma2"])
def test_computing_blocks_twice_changes_no_bit(
    method: str, family: str, random_base: Callable[..., Path]
) -> None:
    base = random_base(family, num_hidden_layers=2, sliding_window=9)
    changes = {"method": method, "lora": {"rank": 4, "dropout": 0.1}}
    once = moved(load(spec_of(**changes), base, ONE_THREAD))
    twice = moved(load(spec_of(**changes, gradient_checkpointing=True), base, ONE_THREAD))
    (loss, gradient), (same_loss, same_gradient) = learn(once), learn(twice)
    assert loss == same_loss
    assert torch.equal(gradient, same_gradient)


def test_a_16_bit_base_is_read_as_it_is_stored(base: Path, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16)
    model.save_pretrained(tmp_path / "bf16")
    tuned = load(spec_of(method="qlora"), tmp_path / "bf16", Machine("cpu", "float32", 1))
    assert tuned.scorer.model.get_input_embeddings().weight.dtype is torch.float32
    assert all(m.dtype is torch.float32 for m in quantized_matrices(tuned.scorer.model))
