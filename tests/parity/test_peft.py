"""Loss, gradients and adapters against PEFT's modules over the same transformers model, in fp32.

Both sides compute the same sums in another order. Values here are of size 1 to 10 and sums run over
at most a few thousand terms, so fp32 (2^-24 relative) leaves 1e-6 to 1e-5; the bounds are ten times
that, and a wrong scale, mask or position misses them by orders of magnitude.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

from modiste.nn.adapter_io import load_peft, save_peft
from modiste.nn.loading import load_base
from modiste.nn.lora import Adapters, attach
from modiste.tune.loss import Document, Scorer, collate

RANK, SCALING = 4, 2.0
LOSS = {"rtol": 1e-5, "atol": 1e-5}
GRADIENT = {"rtol": 1e-4, "atol": 1e-5}


def documents(vocabulary: int = 199, lengths: tuple[int, ...] = (40, 7, 23, 24, 2, 61)) -> list:
    generator = torch.Generator().manual_seed(3)
    made = []
    for length in lengths:
        ids = torch.randint(vocabulary, (length,), generator=generator).tolist()
        mask = (torch.rand(length, generator=generator) < 0.5).tolist()
        made.append(Document(ids, [False, *mask[1:-1], True]))
    return made


def ours(base: Path, *, seed: int = 5) -> tuple[Scorer, Adapters]:
    model = load_base(base, dtype=torch.float32).model
    scorer = Scorer.of(model)
    assert scorer.packs
    assert scorer.head is not None
    adapters = attach(model, rank=RANK, scaling=SCALING, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in adapters.modules.values():  # B starts at zero, which would hide A's gradient
            module.lora_B.copy_(torch.randn(module.lora_B.shape, generator=generator) * 0.05)
    return scorer, adapters


def theirs(base: Path, adapters: Adapters) -> PeftModel:
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    config = LoraConfig(r=RANK, lora_alpha=int(RANK * SCALING), target_modules="all-linear",
                        lora_dropout=0.0, task_type="CAUSAL_LM")  # fmt: skip
    peft = get_peft_model(model, config)
    with torch.no_grad():
        for name, (a, b) in adapters.weights().items():
            module = peft.base_model.model.get_submodule(name)
            module.lora_A["default"].weight.copy_(a)
            module.lora_B["default"].weight.copy_(b)
    return peft.eval()


def peft_loss(peft: PeftModel, docs: list[Document]) -> torch.Tensor:
    """Each document by itself, unpadded, all logits: nothing shared with the code under test."""
    total = torch.zeros(())
    for document in docs:
        ids = torch.tensor([document.ids])
        logits = peft(input_ids=ids).logits[0, :-1]
        kept = torch.tensor(document.mask[1:])
        total = total + F.cross_entropy(logits[kept], ids[0, 1:][kept], reduction="sum")
    return total


def gradients(adapters: Adapters) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    return {n: (m.lora_A.grad.clone(), m.lora_B.grad.clone()) for n, m in adapters.modules.items()}


def test_loss_and_adapter_gradients_equal_pefts(
    random_base: Callable[..., Path], family: str
) -> None:
    base = random_base(family)
    scorer, adapters = ours(base)
    peft = theirs(base, adapters)
    docs = documents()

    loss = scorer.loss(collate(docs))
    loss.backward()
    expected = peft_loss(peft, docs)
    expected.backward()

    torch.testing.assert_close(loss, expected.detach(), **LOSS)
    for name, (da, db) in gradients(adapters).items():
        module = peft.base_model.model.get_submodule(name)
        scale = module.lora_A["default"].weight.grad.abs().max()
        torch.testing.assert_close(
            da / scale, module.lora_A["default"].weight.grad / scale, **GRADIENT
        )
        scale = module.lora_B["default"].weight.grad.abs().max()
        torch.testing.assert_close(
            db / scale, module.lora_B["default"].weight.grad / scale, **GRADIENT
        )


def test_a_sliding_window_is_kept_within_each_document(random_base: Callable[..., Path]) -> None:
    base = random_base("mistral", sliding_window=9)
    scorer, adapters = ours(base)
    docs = documents()
    loss = scorer.loss(collate(docs))
    expected = peft_loss(theirs(base, adapters), docs)
    torch.testing.assert_close(loss, expected.detach(), **LOSS)

    wide = random_base("mistral")
    unlimited = ours(wide)[0].loss(collate(docs))
    assert (loss - unlimited).abs().item() > 0.1


def test_packed_documents_train_as_they_would_alone(
    random_base: Callable[..., Path], family: str
) -> None:
    scorer, adapters = ours(random_base(family))
    docs = documents()
    packed = scorer.loss(collate(docs))
    packed.backward()
    together = gradients(adapters)

    adapters.zero_grad()
    alone = torch.zeros(())
    for document in docs:
        loss = scorer.loss(collate([document]))
        loss.backward()
        alone = alone + loss.detach()

    torch.testing.assert_close(packed.detach(), alone, **LOSS)
    for name, (da, db) in gradients(adapters).items():
        for packed_gradient, alone_gradient in zip(together[name], (da, db), strict=True):
            scale = alone_gradient.abs().max()
            torch.testing.assert_close(packed_gradient / scale, alone_gradient / scale, **GRADIENT)


def test_running_documents_one_by_one_gives_the_same_loss_and_gradients(
    random_base: Callable[..., Path], family: str
) -> None:
    scorer, adapters = ours(random_base(family))
    docs = documents()
    scorer.loss(collate(docs)).backward()
    packed = gradients(adapters)
    adapters.zero_grad()

    scorer.model.config._attn_implementation = "sdpa"
    scorer.packs, scorer.head = False, None
    scorer.loss(collate(docs)).backward()
    for name, pair in gradients(adapters).items():
        for one, other in zip(packed[name], pair, strict=True):
            scale = other.abs().max()
            torch.testing.assert_close(one / scale, other / scale, **GRADIENT)


def test_an_adapter_of_ours_loads_in_peft_and_gives_the_same_logprobs(
    random_base: Callable[..., Path], family: str, tmp_path: Path
) -> None:
    base = random_base(family)
    scorer, adapters = ours(base)
    save_peft(
        tmp_path / "adapter",
        adapters.weights(),
        rank=RANK,
        scaling=SCALING,
        targets=adapters.targets,
        base=str(base),
    )
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    before = model(input_ids=torch.tensor([documents()[0].ids])).logits
    peft = PeftModel.from_pretrained(model, tmp_path / "adapter").eval()

    ids = documents()[0].ids
    logits = peft(input_ids=torch.tensor([ids])).logits[0, :-1]
    expected = logits.log_softmax(-1)[range(len(ids) - 1), ids[1:]]
    actual = torch.tensor(scorer.logprobs(collate([Document(ids, [True] * len(ids))])))
    torch.testing.assert_close(actual, expected.detach(), rtol=1e-4, atol=1e-4)
    assert (logits - before[0, :-1]).abs().max() > 0.1, "the adapter did nothing"


def test_an_adapter_of_pefts_loads_here_and_gives_the_same_logprobs(
    random_base: Callable[..., Path], random_adapter: Callable[..., Path], family: str
) -> None:
    base = random_base(family)
    folder = random_adapter(base, alpha_pattern={"q_proj": 4}, rank_pattern={"q_proj": 8})
    loaded = load_peft(folder)
    scalings = {layer.scaling for layer in loaded.layers.values()}
    assert scalings == {2.0, 0.5}

    folder = random_adapter(base)
    loaded = load_peft(folder)
    model = load_base(base, dtype=torch.float32).model
    scorer = Scorer.of(model)
    adapters = attach(model, rank=8, scaling=2.0)
    adapters.load({name: (layer.A_RI, layer.B_OR) for name, layer in loaded.layers.items()})

    peft = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), folder
    ).eval()
    docs = documents()
    torch.testing.assert_close(scorer.loss(collate(docs)), peft_loss(peft, docs).detach(), **LOSS)


def test_adapters_start_as_pefts_do(random_base: Callable[..., Path]) -> None:
    """A uniform with PEFT's bound, B zero: the first loss is the base's."""
    base = random_base("mistral")
    model = load_base(base, dtype=torch.float32).model
    scorer = Scorer.of(model)
    untouched = scorer.loss(collate(documents())).item()
    adapters = attach(model, rank=64, scaling=SCALING, seed=1)
    assert scorer.loss(collate(documents())).item() == pytest.approx(untouched, rel=1e-6)
    peft = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base), LoraConfig(r=64, target_modules="all-linear")
    )
    for name, (a, b) in adapters.weights().items():
        reference = peft.base_model.model.get_submodule(name).lora_A["default"].weight
        assert not b.any()
        # 3,000 or more uniform values each: the sample's largest lies within 1 % of the bound with
        # odds of 1 - 0.99^3000, about 1e-13 of a false alarm.
        assert float(a.abs().max()) == pytest.approx(float(reference.abs().max()), rel=0.01)
