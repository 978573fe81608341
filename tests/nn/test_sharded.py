"""A base spread over two real processes computes and trains what the whole base does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.tune import together

COMPARE = """
import json, sys, torch
from pathlib import Path
from torch.distributed.tensor import DTensor
from modiste.errors import InvalidInput
from modiste.tune.loss import Document, collate
from modiste.tune.processes import end, joined
from modiste.tune.tuned import load
from tests.tune.conftest import ONE_THREAD, spec_of
from dataclasses import replace

torch.set_num_threads(1)
group = joined()
base, changes = Path(sys.argv[1]), json.loads(sys.argv[2])
machine = replace(ONE_THREAD, dtype=changes.pop("of_weights", "float32"))
spec = spec_of(**changes)
whole = load(spec, base, machine, pack=False)
try:
    parts = load(spec, base, machine, sharded=True)
except InvalidInput as error:
    print(json.dumps({"refused": error.message}))
    end()
torch.manual_seed(5)
with torch.no_grad():
    whole.learned.flat.add_(0.02 * torch.randn_like(whole.learned.flat))
    parts.learned.flat.copy_(whole.learned.flat)
torch.manual_seed(group.rank)  # each process has samples of its own
document = Document(torch.randint(0, 199, (23,)).numpy(), [True] * 23)
found = {}
for name, tuned in (("whole", whole), ("parts", parts)):
    tuned.learned.zero_grad()
    with tuned.learned.training(1, group.rank, 0):
        loss = tuned.scorer.loss(collate([document]))
        loss.backward()
    found[name] = (loss.item(), tuned.learned.flat.grad.clone(), tuned.logprobs(range(9, 30)))
held = {n: p.to_local().numel() / p.numel() for n, p in parts.scorer.model.named_parameters()
        if isinstance(p, DTensor)}
layer = parts.scorer.model.get_decoder().layers[0].self_attn.q_proj
local = layer.base._layer.weight
gradient, expected = found["parts"][1], found["whole"][1]
print(json.dumps({
    "loss": [found["whole"][0], found["parts"][0]],
    "gradient": float((gradient - expected).norm() / expected.norm()),
    "logprobs": max(abs(a - b) for a, b in zip(found["whole"][2], found["parts"][2])),
    "spread": isinstance(local, DTensor) and local.to_local().numel() / local.numel(),
    "held": max(held.values(), default=0.5),
}))
end()
"""


def compare(base: Path, **changes: Any) -> list[dict[str, Any]]:
    ended = together.run(COMPARE, 2, base, json.dumps(changes))
    assert [one.code for one in ended] == [0, 0], ended
    return [json.loads(one.said.splitlines()[-1]) for one in ended]


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("mistral", {}),
        pytest.param(
            "qwen2",
            {"lora": {"rank": 4, "targets": ["q_proj", "down_proj"]}},
            marks=pytest.mark.slow,
        ),
        pytest.param("llama", {"lora": {"rank": 4, "dora": True}}, marks=pytest.mark.slow),
        pytest.param("mistral", {"gradient_checkpointing": True}, marks=pytest.mark.slow),
        pytest.param("mistral", {"lora": {"rank": 4, "dropout": 0.2}}, marks=pytest.mark.slow),
        pytest.param("mistral", {"of_weights": "bfloat16"}, marks=pytest.mark.slow),
    ],
)
def test_losses_gradients_and_logprobs_are_those_of_the_whole_base(
    random_base: Callable[..., Path], family: str, changes: dict[str, Any]
) -> None:
    for one in compare(random_base(family, num_hidden_layers=2), **changes):
        # The same products of the same gathered weights; fused products round differently.
        tolerance = 2e-2 if "of_weights" in changes else 1e-5
        assert one["loss"][1] == pytest.approx(one["loss"][0], rel=tolerance)
        assert one["gradient"] < tolerance
        assert one["logprobs"] < 10 * tolerance
        assert one["spread"] == pytest.approx(0.5), "each process holds half of it"
        assert one["held"] == pytest.approx(0.5, abs=0.02)


@pytest.mark.slow
def test_experts_are_refused_by_name(random_base: Callable[..., Path]) -> None:
    base = random_base("mixtral", num_hidden_layers=2, num_local_experts=2)
    for one in compare(base):
        assert "experts cannot learn where the base is spread over GPUs" in one["refused"]
