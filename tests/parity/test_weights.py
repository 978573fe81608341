"""From rows to gradients: what has weight 0, and what tools say, teaches nothing.

The tokens that should be trained are found here by their text in the rendered conversation, and
their loss is computed by transformers and PEFT alone; ours comes from the file, through the reader
and the recipe's objective. Tolerances as in test_peft.py.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from modiste.prepare import render
from modiste.tune.machine import Machine
from modiste.tune.objective import NextToken
from modiste.work.training_rows import data_file, read_samples, tokenised

from .test_peft import GRADIENT, LOSS, gradients, ours, theirs

TINY = Path(__file__).parents[2] / "src/modiste/bases/tiny"
ASKED = {"role": "user", "content": "Where is order 7?"}
CALL = {
    "role": "assistant",
    "tool_calls": [
        {
            "id": "abcdefghi",
            "type": "function",
            "function": {"name": "find", "arguments": '{"order": 7}'},
        }
    ],
}
RESULT = {"role": "tool", "tool_call_id": "abcdefghi", "content": '{"place": "Lyon"}'}
TOOLS = [
    {
        "type": "function",
        "function": {"name": "find", "parameters": {"type": "object", "properties": {}}},
    }
]


def said(content: str, weight: int | None = None) -> dict[str, Any]:
    return {"role": "assistant", "content": content} | (
        {} if weight is None else {"weight": weight}
    )


ROWS = {
    "an earlier answer of weight 0": (
        {"messages": [ASKED, said("In Paris.", 0), ASKED, said("In Lyon.", 1)]},
        ["In Lyon.</s>"],
    ),
    "a last answer of weight 0": (
        {"messages": [ASKED, said("In Lyon."), ASKED, said("In Paris, maybe.", 0)]},
        ["In Lyon.</s>"],
    ),
    "a call, its result and the answer": (
        {"messages": [ASKED, CALL, RESULT, said("It is in Lyon.")], "tools": TOOLS},
        [
            # Ids of calls are random, so none is learned: the call is trained apart, without one.
            '[TOOL_CALLS][{"name": "find", "arguments": {"order": 7}}]</s>',
            "It is in Lyon.</s>",
        ],
    ),
    "a call of weight 0 before a trained answer": (
        {"messages": [ASKED, CALL | {"weight": 0}, RESULT, said("In Lyon.")], "tools": TOOLS},
        ["In Lyon.</s>"],
    ),
}


@pytest.fixture(scope="module")
def base(random_base: Callable[..., Path]) -> Path:
    path = random_base("mistral", vocab_size=4096, bos_token_id=1, eos_token_id=2)
    for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(TINY / file, path / file)
    return path


def spelt(ids: list[int], renderer: Any) -> list[str]:
    """Each token's text, control tokens by name."""
    return [renderer.token_name(token) or renderer.decode([token]) for token in ids]


def trained_by_text(ids: list[int], texts: list[str], renderer: Any) -> list[bool]:
    pieces = spelt(ids, renderer)
    mask = [False] * len(ids)
    for text in texts:
        ends = [at for at in range(len(ids)) if "".join(pieces[: at + 1]).endswith(text)]
        assert len(ends) == 1, (text, "".join(pieces))
        start = ends[0] + 1
        while "".join(pieces[start : ends[0] + 1]) != text:
            start -= 1
        for at in range(start, ends[0] + 1):
            mask[at] = True
    return mask


@pytest.mark.parametrize("name", ROWS)
def test_only_what_should_be_learned_has_a_gradient(base: Path, tmp_path: Path, name: str) -> None:
    row, texts = ROWS[name]
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row) + "\n")
    renderer = render.load(base)
    read = list(read_samples(data_file({"path": str(path)}, {}), renderer, max_length=512))

    scorer, adapters = ours(base)
    samples = tokenised(read)
    objective = NextToken(scorer, Machine("cpu", "float32", 1))
    loss = torch.zeros(())
    for batch in objective.batches([samples[i] for i in range(len(samples))]):
        part = objective.loss(batch).loss
        part.backward()
        loss = loss + part.detach()

    peft = theirs(base, adapters)
    expected = torch.zeros(())
    left = list(texts)
    for sample in read:
        found = [t for t in left if t in "".join(spelt(sample.rendered.ids, renderer))]
        mask = torch.tensor(trained_by_text(sample.rendered.ids, found, renderer)[1:])
        left = [text for text in left if text not in found]
        ids = torch.tensor([sample.rendered.ids])
        logits = peft(input_ids=ids).logits[0, :-1]
        expected = expected + F.cross_entropy(logits[mask], ids[0, 1:][mask], reduction="sum")
    assert not left
    expected.backward()

    torch.testing.assert_close(loss, expected.detach(), **LOSS)
    for layer, pair in gradients(adapters).items():
        module = peft.base_model.model.get_submodule(layer)
        reference = (module.lora_A["default"].weight.grad, module.lora_B["default"].weight.grad)
        for mine, other in zip(pair, reference, strict=True):
            scale = other.abs().max()
            torch.testing.assert_close(mine / scale, other / scale, **GRADIENT)


def test_what_an_untrained_last_answer_says_changes_nothing(base: Path, tmp_path: Path) -> None:
    renderer = render.load(base)
    found = []
    for words in ("In Paris.", "Nobody knows, and nobody ever will."):
        path = tmp_path / "rows.jsonl"
        path.write_text(
            json.dumps({"messages": [ASKED, said("In Lyon."), ASKED, said(words, 0)]}) + "\n"
        )
        read = read_samples(data_file({"path": str(path)}, {}), renderer, max_length=512)
        scorer, adapters = ours(base)
        samples = tokenised(read)
        objective = NextToken(scorer, Machine("cpu", "float32", 1))
        (batch,) = objective.batches([samples[0]])
        objective.loss(batch).loss.backward()
        found.append(adapters.flat.grad.clone())
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-5)
    assert float(found[0].abs().max()) > 0.1
