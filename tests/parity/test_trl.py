"""Loss and adapter gradients against TRL's own trainers on the same rows, in fp32.

TRL renders, masks, pads and collates by itself; only the rows, the base and the adapter's start are
shared. Tolerances as in test_peft.py: the same sums in another order, values of size 1 to 10 over a
few thousand terms, so 1e-6 to 1e-5 in fp32 and bounds ten times that.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoTokenizer

from modiste.nn.lora import Adapters
from modiste.prepare import render
from modiste.prepare.formats.chat import parse_row
from modiste.prepare.formats.preference import parse_row as parse_pair
from modiste.prepare.pairs import conversations
from modiste.tune.loss import Document, Scorer, collate
from modiste.tune.machine import Machine
from modiste.tune.mixture import Conversation, Samples
from modiste.tune.objective import NextToken
from modiste.tune.preference import Preference
from modiste.tune.spec import Dpo

from .test_peft import GRADIENT, LOSS, ours, theirs

datasets = pytest.importorskip("datasets")
trl = pytest.importorskip("trl")

TINY = Path(__file__).parents[2] / "src/modiste/bases/tiny"
ONE_THREAD = Machine("cpu", "float32", 1)


def said(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


CHATS = [
    [said("user", "Where is my parcel?"), said("assistant", "On its way.")],
    [
        said("system", "Be brief."),
        said("user", "Write a poem about the sea and the ships that cross it."),
        said("assistant", "The sea is wide,\nthe ships are few."),
        said("user", "And the wind?"),
        said("assistant", "It blows for all of them."),
    ],
    [said("user", "2 + 2"), said("assistant", "4")],
]
PAIRS = [
    {
        "prompt": [said("user", "Where is my parcel?")],
        "chosen": [said("assistant", "It left on Monday and should be there tomorrow.")],
        "rejected": [said("assistant", "No idea.")],
    },
    {
        "prompt": [
            said("user", "Name a colour."),
            said("assistant", "Red."),
            said("user", "Another one, please."),
        ],
        "chosen": [said("assistant", "Blue.")],
        "rejected": [said("assistant", "Red, red, red, as I said before, and nothing else.")],
    },
    {
        "prompt": [said("user", "2 + 2")],
        "chosen": [said("assistant", "4")],
        "rejected": [said("assistant", "5")],
    },
]


@pytest.fixture(scope="module")
def base(random_base: Callable[..., Path]) -> Path:
    """Random weights behind the shipped tokenizer."""
    path = random_base("mistral", vocab_size=4096, bos_token_id=1, eos_token_id=2)
    for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(TINY / file, path / file)
    return path


def settings(kind: Any, folder: Path, **more: Any) -> Any:
    return kind(
        output_dir=str(folder),
        per_device_train_batch_size=8,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        max_length=None,
        report_to=[],
        disable_tqdm=True,
        **more,
    )


def batch_of(trainer: Any) -> dict[str, Any]:
    return next(iter(trainer.get_train_dataloader()))


def their_gradients(peft: PeftModel) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix("base_model.model.").replace(".default.weight", ""): parameter.grad
        for name, parameter in peft.named_parameters()
        if "lora_" in name
    }


def gradients_agree(adapters: Adapters, peft: PeftModel) -> None:
    expected = their_gradients(peft)
    for name, module in adapters.modules.items():
        for side in ("lora_A", "lora_B"):
            theirs_ = expected[f"{name}.{side}"]
            scale = theirs_.abs().max()
            torch.testing.assert_close(
                getattr(module, side).grad / scale, theirs_ / scale, **GRADIENT
            )


def marked(template: str) -> str:
    """The shipped template, the words of the assistant marked as TRL wants them."""
    answer = "{{- text_of(message['content']) -}}\n    {%- if message['tool_calls'] is defined"
    assert template.count(answer) == 1
    template = template.replace(answer, "{%- generation -%}" + answer)
    end = "{{- eos_token -}}"
    assert template.count(end) == 1
    return template.replace(end, end + "{%- endgeneration -%}")


def sft(base: Path, folder: Path, peft: PeftModel) -> Any:
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.chat_template = marked(tokenizer.chat_template)
    return trl.SFTTrainer(
        model=peft,
        args=settings(trl.SFTConfig, folder, assistant_only_loss=True),
        train_dataset=datasets.Dataset.from_list([{"messages": chat} for chat in CHATS]),
        processing_class=tokenizer,
    )


def rendered(base: Path) -> list[Document]:
    renderer = render.load(base)
    made = []
    for chat in CHATS:
        example = parse_row({"messages": chat}, file="f", line=1).example
        assert example is not None
        made += [Document(*sample) for sample in renderer.training_samples(example)]
    return made


def test_the_same_tokens_of_a_chat_are_trained(base: Path, tmp_path: Path) -> None:
    _, adapters = ours(base)
    batch = batch_of(sft(base, tmp_path, theirs(base, adapters)))
    found = {
        (tuple(ids[kept].tolist()), tuple((labels[kept] != -100).tolist()))
        for ids, labels, kept in zip(
            batch["input_ids"], batch["labels"], batch["attention_mask"].bool(), strict=True
        )
    }
    assert found == {(tuple(d.ids), tuple(d.mask)) for d in rendered(base)}


def test_loss_and_gradients_equal_those_of_trls_sft(base: Path, tmp_path: Path) -> None:
    scorer, adapters = ours(base)
    peft = theirs(base, adapters)
    trainer = sft(base, tmp_path, peft)
    batch = batch_of(trainer)
    expected = trainer.compute_loss(trainer.model, batch)
    expected.backward()

    objective = NextToken(scorer, ONE_THREAD)
    samples = Samples(rendered(base))
    n = int(objective.n_units(samples).sum())
    total = torch.zeros(())
    for mine in objective.batches([samples[i] for i in range(len(samples))]):
        loss = objective.loss(mine).loss / n
        loss.backward()
        total += loss.detach()

    torch.testing.assert_close(total, expected.detach(), **LOSS)
    gradients_agree(adapters, peft)


def pairs(base: Path) -> Samples:
    renderer = render.load(base)
    made = []
    for row in PAIRS:
        example = parse_pair(row, file="f", line=1).example
        assert example is not None
        both = [renderer.training_samples(chat)[0] for _, chat in conversations(example)]
        made.append((Conversation(*both[0]), Conversation(*both[1])))
    return Samples.of_pairs(made)


def referenced(samples: Samples, scorer: Scorer, adapters: Adapters, dpo: Dpo) -> Preference:
    """As a run prepares it, but with adapters that have already moved."""
    from modiste.tune.group import Alone

    objective = Preference(scorer, ONE_THREAD, dpo)
    with adapters.disabled():
        samples.reference = objective._reference([samples], Alone(), lambda *_: None)
    return objective


def dpo_trainer(base: Path, folder: Path, adapters: Adapters, **more: Any) -> Any:
    """TRL, too, compares with the model as it was handed over: here with adapters that do nothing
    yet, which are then moved to where ours are."""
    peft = theirs(base, adapters)
    moved = {name: p.detach().clone() for name, p in peft.named_parameters() if "lora_B" in name}
    with torch.no_grad():
        for name in moved:
            peft.get_parameter(name).zero_()
    trainer = trl.DPOTrainer(
        model=peft,
        args=settings(trl.DPOConfig, folder, beta=0.3, **more),
        train_dataset=datasets.Dataset.from_list(PAIRS),
        processing_class=AutoTokenizer.from_pretrained(base),
    )
    with torch.no_grad():
        for name, values in moved.items():
            peft.get_parameter(name).copy_(values)
    return trainer


def test_loss_and_gradients_equal_those_of_trls_dpo(base: Path, tmp_path: Path) -> None:
    scorer, adapters = ours(base)
    trainer = dpo_trainer(base, tmp_path, adapters)
    expected = trainer.compute_loss(trainer.model, batch_of(trainer))
    expected.backward()
    told = {name: values[-1] for name, values in trainer._metrics["eval"].items()}

    samples = pairs(base)
    objective = referenced(samples, scorer, adapters, Dpo(beta=0.3))
    (batch,) = objective.batches([samples[i] for i in range(len(samples))])
    loss, measures = objective.loss(batch)
    (loss / len(samples)).backward()

    # Margins here are differences of sums of about 100 nats: 1e-5 of rounding is 1e-7 of those.
    torch.testing.assert_close(
        (loss / len(samples)).float().detach(), expected.detach(), rtol=1e-4, atol=1e-5
    )
    gradients_agree(adapters, trainer.model)
    assert measures["preference_accuracy"] / 3 == pytest.approx(told["rewards/accuracies"])
    for ours_, theirs_ in [
        ("reward_margin", "rewards/margins"),
        ("reward_chosen", "rewards/chosen"),
        ("reward_rejected", "rewards/rejected"),
    ]:
        assert measures[ours_] / 3 == pytest.approx(told[theirs_], rel=1e-4, abs=1e-4)
    assert abs(told["rewards/margins"]) > 0.1, "nothing was compared"


def test_the_chosen_answers_own_loss_is_added_as_trl_adds_it(base: Path, tmp_path: Path) -> None:
    """TRL averages it over the tokens of the batch, we over those of each pair: one pair each."""
    scorer, adapters = ours(base)
    trainer = dpo_trainer(
        base, tmp_path, adapters, loss_type=["sigmoid", "sft"], loss_weights=[1.0, 0.7]
    )
    samples = pairs(base)
    objective = referenced(samples, scorer, adapters, Dpo(beta=0.3, sft_weight=0.7))
    padded = trainer.data_collator
    for at in range(len(samples)):
        trainer.model.zero_grad()
        adapters.zero_grad()
        expected = trainer.compute_loss(trainer.model, padded([trainer.train_dataset[at]]))
        expected.backward()
        (batch,) = objective.batches([samples[at]])
        loss = objective.loss(batch).loss
        loss.backward()
        torch.testing.assert_close(loss.float().detach(), expected.detach(), rtol=1e-4, atol=1e-5)
        gradients_agree(adapters, trainer.model)


def test_the_reference_is_the_base_whatever_the_adapters_are(base: Path) -> None:
    scorer, adapters = ours(base)
    samples = pairs(base)
    referenced(samples, scorer, adapters, Dpo())
    assert samples.reference is not None
    with adapters.disabled():
        for at in range(len(samples)):
            sample = samples[at]
            chosen = Document(sample.ids[: sample.split], sample.mask[: sample.split])
            batch = collate([chosen])
            expected = sum(scorer.logprobs(batch))
            assert samples.reference[at, 0] == pytest.approx(expected, rel=1e-6)
