"""LoRA's variants against PEFT's on many families: loss, gradients of all that learns, and files.

Both sides compute the same sums in fp32 in another order. Gradients are compared tensor by tensor
as vectors: rounding leaves a relative distance of about 3e-6 (fp32 has 6e-8, through some twenty
sums after one another); a tensor that is scaled, masked or ordered wrongly is 1e-2 and more away.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers import AutoModelForCausalLM

from modiste.errors import InvalidInput
from modiste.nn.decoder import load_decoder
from modiste.nn.deltas import Group, RowDeltas, Stacks
from modiste.nn.dora import DoraLinear
from modiste.nn.loading import load_base
from modiste.nn.lora import Adapters, attach
from modiste.nn.parts import Span
from modiste.serve.adapters import load_adapter
from modiste.tune.loss import Document, Scorer, collate

from .test_peft import LOSS, documents, peft_loss

RANK = 4
GRADIENT = 3e-5
MOE = {"num_experts_per_tok": 2, "router_jitter_noise": 0.0}
FAMILIES: dict[str, dict[str, Any]] = {
    "mistral": {},
    "llama": {"attention_bias": True, "mlp_bias": True},
    "qwen2": {},
    "qwen3": {"head_dim": 12},
    "gemma": {"head_dim": 12},
    "gemma2": {"head_dim": 12, "sliding_window": 9, "num_hidden_layers": 2},
    "gemma3_text": {"head_dim": 12, "sliding_window": 9, "num_hidden_layers": 2},
    "mixtral": MOE | {"num_local_experts": 4, "num_hidden_layers": 2},
    "qwen3_moe": MOE | {"num_experts": 5, "moe_intermediate_size": 20, "num_hidden_layers": 2},
}
EXPERTS = ("mixtral", "qwen3_moe")
BIASED = "llama"


def ours(base: Path, **settings: Any) -> tuple[Scorer, Adapters]:
    model = load_base(base, dtype=torch.float32).model
    scorer = Scorer.of(model)
    adapters = attach(model, **({"rank": RANK, "scaling": 1.5, "seed": 5} | settings))
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for module in adapters.modules.values():  # B starts at zero, which would hide A's gradient
            module.lora_B.copy_(torch.randn(module.lora_B.shape, generator=generator) * 0.05)
            if isinstance(module, DoraLinear):
                module.magnitude.mul_(1 + 0.1 * torch.rand(module.magnitude.shape))
    return scorer, adapters


def reread(base: Path, folder: Path) -> PeftModel:
    """Our files, read by PEFT."""
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    return PeftModel.from_pretrained(model, folder, is_trainable=True).eval()


def their_gradients(peft: PeftModel, adapters: Adapters) -> dict[str, torch.Tensor]:
    """By our names, in our shapes."""
    found: dict[str, torch.Tensor] = {}
    for name, parameter in peft.named_parameters():
        if parameter.requires_grad:
            found[name.removeprefix("base_model.model.").replace(".default", "")] = parameter.grad
    out = {}
    for name, module in adapters.modules.items():
        where = name
        if module.lora_A.ndim == 3:
            inner = ".base_layer" if name.endswith("gate_up_proj") else ""
            where = name.rpartition(".")[0] + inner
        a, b = found[f"{where}.lora_A.weight"], found[f"{where}.lora_B.weight"]
        if module.lora_A.ndim == 3:
            experts, rank = module.lora_A.shape[:2]
            a = a.view(experts, rank, -1)
            b = b.view(len(b), rank, experts).permute(2, 0, 1)
        out[f"{name}.A"], out[f"{name}.B"] = a, b
        if isinstance(module, DoraLinear):
            out[f"{name}.m"] = found[f"{where}.lora_magnitude_vector.weight"]
    return out


def our_gradients(adapters: Adapters) -> dict[str, torch.Tensor]:
    out = {}
    for name, module in adapters.modules.items():
        out[f"{name}.A"], out[f"{name}.B"] = module.lora_A.grad, module.lora_B.grad
        if isinstance(module, DoraLinear):
            out[f"{name}.m"] = module.magnitude.grad
    return out


def assert_equal_training(scorer: Scorer, adapters: Adapters, peft: PeftModel) -> None:
    loss = scorer.loss(collate(documents()))
    loss.backward()
    expected = peft_loss(peft, documents())
    expected.backward()
    torch.testing.assert_close(loss, expected.detach(), **LOSS)
    theirs, mine = their_gradients(peft, adapters), our_gradients(adapters)
    assert_same(mine, theirs)


def assert_same(mine: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    assert theirs.keys() == mine.keys()
    far = {name: float((mine[name] - g).norm() / g.norm()) for name, g in theirs.items()}
    assert max(far.values()) < GRADIENT, far


@pytest.mark.parametrize("family", FAMILIES)
def test_loss_gradients_and_files_equal_pefts(
    family: str, random_base: Callable[..., Path], tmp_path: Path
) -> None:
    base = random_base(family, **FAMILIES[family])
    scorer, adapters = ours(base)
    adapters.save(tmp_path / "adapter", base="random")
    if family in EXPERTS:
        assert adapters.parameters == ("mlp.experts.down_proj", "mlp.experts.gate_up_proj")
        assert len([m for m in adapters.modules.values() if m.lora_A.ndim == 3]) == 4
    assert_equal_training(scorer, adapters, reread(base, tmp_path / "adapter"))


@pytest.mark.parametrize(
    "settings", [{"rslora": True}, {"dora": True}, {"dora": True, "rslora": True}], ids=str
)
@pytest.mark.parametrize("family", ["mistral", BIASED, "qwen3", "gemma2"])
def test_variants_train_as_pefts_and_load_there(
    family: str, settings: dict[str, bool], random_base: Callable[..., Path], tmp_path: Path
) -> None:
    base = random_base(family, **FAMILIES[family])
    scorer, adapters = ours(base, **settings)
    adapters.save(tmp_path / "adapter", base="random")
    assert_equal_training(scorer, adapters, reread(base, tmp_path / "adapter"))


class _Given(nn.Module):
    """PEFT's dropout layer with our mask."""

    def __init__(self, adapters: Adapters, name: str) -> None:
        super().__init__()
        self.dropout, self.name = adapters.settings.dropout, name

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dropout(x.reshape(-1, x.shape[-1]), self.name).view(x.shape)


@pytest.mark.parametrize("dora", [False, True], ids=["lora", "dora"])
def test_dropout_is_pefts_for_the_same_mask(
    dora: bool, random_base: Callable[..., Path], tmp_path: Path
) -> None:
    base = random_base(BIASED, **FAMILIES[BIASED])
    scorer, adapters = ours(base, dropout=0.3, dora=dora)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    peft = get_peft_model(model, LoraConfig(r=RANK, lora_alpha=6, target_modules="all-linear",
                          lora_dropout=0.3, use_dora=dora))  # fmt: skip
    adapters.save(tmp_path / "adapter", base="random")
    written = reread(base, tmp_path / "adapter").state_dict()
    peft.load_state_dict(written)
    peft.train()
    for name in adapters.modules:
        module = peft.base_model.model.get_submodule(name)
        module.lora_dropout["default"] = _Given(adapters, name)
    document = documents()[:1]
    with adapters.training(3, 0, 1):
        loss = scorer.loss(collate(document))
        loss.backward()
        # PEFT sees the last token too, which no loss reads: its mask must have as many rows.
        ids = torch.tensor([document[0].ids])
        kept = torch.tensor(document[0].mask[1:])
        logits = peft(input_ids=ids[:, :-1]).logits[0][kept]
        expected = nn.functional.cross_entropy(logits, ids[0, 1:][kept], reduction="sum")
        expected.backward()
    torch.testing.assert_close(loss, expected.detach(), **LOSS)
    theirs, mine = their_gradients(peft, adapters), our_gradients(adapters)
    assert_same(mine, theirs)
    assert scorer.loss(collate(document)).item() != pytest.approx(loss.item(), rel=1e-4)


def test_experts_alone_and_some_of_them_can_be_adapted(
    random_base: Callable[..., Path], tmp_path: Path
) -> None:
    base = random_base("mixtral", **FAMILIES["mixtral"])
    for targets in (["experts.down_proj"], ["gate_up_proj", "q_proj"],
                    ["model.layers.1.mlp.experts.gate_up_proj"]):  # fmt: skip
        scorer, adapters = ours(base, targets=targets)
        adapters.save(tmp_path / "adapter", base="random")
        peft = reread(base, tmp_path / "adapter")
        with torch.no_grad():
            torch.testing.assert_close(
                scorer.loss(collate(documents())), peft_loss(peft, documents()), **LOSS
            )


@pytest.mark.parametrize(
    ("family", "targets"),
    [
        *((family, "all-linear") for family in EXPERTS),
        ("mixtral", ["q_proj", "v_proj"]),
        ("qwen3_moe", ["experts.down_proj"]),
    ],
)
def test_a_mixture_tuned_here_is_served_as_it_was_trained(
    family: str, targets: Any, random_base: Callable[..., Path], tmp_path: Path
) -> None:
    base = random_base(family, **FAMILIES[family])
    scorer, adapters = ours(base, targets=targets)
    adapters.save(tmp_path / "adapter", base="random")
    ids, n = documents()[0].ids, len(documents()[0].ids)
    every = Document(ids, [False, *[True] * (n - 1)])
    decoder = load_decoder(base)
    deltas = load_adapter(tmp_path / "adapter", decoder.shape)

    def served(rows: RowDeltas | None) -> torch.Tensor:
        cells = decoder.key_values(n)
        hidden = decoder.hidden(torch.tensor(ids), [Span(0, n, 0, n)], cells, deltas=rows)
        logprobs = decoder.logits(hidden[:-1]).log_softmax(-1)
        return logprobs.gather(1, torch.tensor(ids[1:])[:, None])[:, 0]

    with torch.inference_mode():
        expected = torch.tensor(scorer.logprobs(collate([every])))
        found = served(RowDeltas([], [Group(deltas, 0, n)], Stacks()))
        # Of logits of about 10, summed in other orders over 2 layers; the adapter moves more.
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
        assert float((served(None) - expected).abs().max()) > 0.01


def test_dora_on_experts_is_refused(random_base: Callable[..., Path]) -> None:
    base = random_base("mixtral", **FAMILIES["mixtral"])
    with pytest.raises(InvalidInput, match=r"lora\.dora: the experts of Mixtral"):
        ours(base, dora=True)
    ours(base, dora=True, targets=["q_proj"])
