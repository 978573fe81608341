"""Classifiers: their loss, what a run says and keeps, and that it resumes to the bit."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from modiste.errors import TuningFailed
from modiste.nn.class_heads import pooled
from modiste.nn.heads_file import HeadPooling
from modiste.tune.classify import Classify, correction, label_counts, label_weights
from modiste.tune.mixture import Samples, Source
from modiste.tune.sft import Done
from modiste.tune.spec import TuneSpec
from modiste.tune.tuned import Tuned, load
from modiste.types import ClassifierTarget, LossFunction

from .conftest import ONE_THREAD, Killed, Run, samples_of, spec_of

MakeRun = Callable[..., Run]
COLOUR = {"name": "colour", "labels": ["red", "blue", "green"], "loss_function": "single_class"}
TOPICS = {
    "name": "topics",
    "labels": ["sport", "law"],
    "loss_function": "multi_class",
    "weight": 0.5,
}
TARGETS = [COLOUR, TOPICS]
TOLERANCE = 2e-6
"""Of losses and gradients of fp32 sums of some hundred terms, in two orders."""


def rows_of(n: int, *, seed: int = 0, longest: int = 14) -> Samples:
    """The first token decides about the colour, a token anywhere about each topic."""
    random = np.random.default_rng(seed)
    rows = []
    for _ in range(n):
        ids = random.integers(3, 199, int(random.integers(3, longest)))
        colour = int(random.integers(0, 3))
        ids[0] = 100 + colour
        topics = [
            3 + at
            for at, token in enumerate((40, 41))
            if random.random() < 0.5 and _put(ids, token, random)
        ]
        rows.append((ids.tolist(), [colour, *topics]))
    return Samples.with_labels(rows)


def _put(ids: Any, token: int, random: np.random.Generator) -> bool:
    at = int(random.integers(1, len(ids)))
    if ids[at] in (40, 41):
        return False
    ids[at] = token
    return True


def classifier_spec(**changes: Any) -> TuneSpec:
    values = {"objective": "classify", "classifier_targets": TARGETS} | changes
    return spec_of(**values)


@pytest.fixture
def run(make_run: MakeRun) -> Callable[..., Run]:
    def make(name: str = "run", *, n: int = 24, **changes: Any) -> Run:
        sources = [Source("rows.jsonl", 1.0, rows_of(n))]
        values = {"objective": "classify", "classifier_targets": TARGETS} | changes
        return make_run(name, sources=sources, validation=rows_of(8, seed=1), **values)

    return make


@pytest.fixture(scope="module")
def trained(base: Path) -> tuple[Tuned, TuneSpec]:
    """Everything random, as if it had been trained."""
    spec = classifier_spec()
    tuned = load(spec, base, ONE_THREAD)
    with torch.no_grad():
        tuned.learned.flat.normal_(std=0.05, generator=torch.Generator().manual_seed(0))
    return tuned, spec


def objective_of(tuned: Tuned, spec: TuneSpec, weights_L: Tensor | None = None) -> Classify:
    assert tuned.heads is not None
    weights_L = torch.tensor([1.0, 2.0, 0.5, 3.0, 1.0]) if weights_L is None else weights_L
    return Classify(tuned.scorer, tuned.heads, ONE_THREAD, spec, weights_L)


def everything(samples: Samples) -> list[Any]:
    return [samples[at] for at in range(len(samples))]


class Twin(nn.Module):
    """The same in plain torch: transformers' model with LoRA as a product, one text at a time."""

    def __init__(self, base: Path, tuned: Tuned) -> None:
        super().__init__()
        self.trunk = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).get_decoder()
        self.trunk.requires_grad_(False)
        self.parts: dict[str, tuple[nn.Parameter, nn.Parameter]] = {}
        for name, module in tuned.learned.modules.items():  # type: ignore[attr-defined]
            a, b = (nn.Parameter(p.detach().clone()) for p in (module.lora_A, module.lora_B))
            self.parts[name] = (a, b)
            layer = self.trunk.get_submodule(name.removeprefix("model."))
            layer.register_forward_hook(
                lambda _, x, y, a=a, b=b: y + 2.0 * F.linear(F.linear(x[0], a), b)
            )
        assert tuned.heads is not None
        self.weight = nn.Parameter(tuned.heads.weight_LD.detach().clone())
        self.bias = nn.Parameter(tuned.heads.bias_L.detach().clone())

    def loss(self, samples: Samples, weights_L: Tensor, *, last: bool) -> Tensor:
        total = torch.zeros(())
        for sample in everything(samples):
            states_TD = self.trunk(torch.tensor(sample.ids.astype(np.int64))[None])[0][0]
            state_D = states_TD[-1] if last else states_TD.mean(0)
            logits_L = 10.0 * (self.weight @ state_D + self.bias)
            truth_L = torch.zeros(5)
            truth_L[torch.tensor(sample.held.astype(np.int64))] = 1
            colour = int(truth_L[:3].argmax())
            total = total - weights_L[colour] * logits_L[:3].log_softmax(-1)[colour]
            topics = -(
                weights_L[3:] * truth_L[3:] * F.logsigmoid(logits_L[3:])
                + (1 - truth_L[3:]) * F.logsigmoid(-logits_L[3:])
            )
            total = total + 0.5 * topics.mean()
        return total


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_loss_and_gradients_are_those_of_a_plain_torch_twin(
    base: Path, trained: tuple[Tuned, TuneSpec], pooling: str
) -> None:
    tuned, spec = trained
    spec = spec.model_copy(
        update={"classifier": spec.classifier.model_copy(update={"pooling": pooling})}
    )
    samples, weights_L = rows_of(5), torch.tensor([1.0, 2.0, 0.5, 3.0, 1.0])
    twin = Twin(base, tuned)
    expected = twin.loss(samples, weights_L, last=pooling == "last")
    expected.backward()  # type: ignore[no-untyped-call]
    objective = objective_of(tuned, spec, weights_L)
    tuned.learned.zero_grad()
    (batch,) = objective.batches(everything(samples))
    loss = objective.loss(batch).loss
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert tuned.heads is not None
    pairs = [(tuned.heads.weight_LD, twin.weight), (tuned.heads.bias_L, twin.bias)]
    for name, module in tuned.learned.modules.items():  # type: ignore[attr-defined]
        pairs += [(module.lora_A, twin.parts[name][0]), (module.lora_B, twin.parts[name][1])]
    for ours, theirs in pairs:
        assert theirs.grad is not None
        assert (ours.grad - theirs.grad).norm() <= 1e-4 * theirs.grad.norm()


def test_rows_measured_together_have_the_losses_they_have_alone(
    trained: tuple[Tuned, TuneSpec],
) -> None:
    objective, samples = objective_of(*trained), everything(rows_of(9))
    (batch,) = objective.batches(samples)
    alone = [objective.measure(next(objective.batches([sample]))).nll for sample in samples]
    assert [n for _, n in objective.losses(batch)] == [1] * 9
    told = [loss for loss, _ in objective.losses(batch)]
    assert told == pytest.approx(alone, rel=TOLERANCE)
    assert len(set(told)) == 9


@pytest.mark.parametrize("pooling", list(HeadPooling))
def test_packed_rows_say_what_each_says_alone(
    trained: tuple[Tuned, TuneSpec], pooling: HeadPooling
) -> None:
    tuned, spec = trained
    objective = objective_of(tuned, spec)
    objective.pooling = pooling
    rows = everything(rows_of(6))
    with torch.no_grad():
        (batch,) = objective.batches(rows)
        together = objective.logits(batch)
        alone = torch.cat([objective.logits(b) for row in rows for b in objective.batches([row])])
    assert (together - alone).abs().max() < 1e-4 * alone.abs().max()


def test_a_text_of_one_token_is_its_own_mean() -> None:
    states_TD = torch.arange(12.0).view(6, 2)
    assert pooled(states_TD, [1, 3], HeadPooling.MEAN).tolist() == [[0, 1], [4, 5]]
    assert pooled(states_TD, [1, 3], HeadPooling.LAST).tolist() == [[0, 1], [6, 7]]


def test_before_the_first_step_every_label_is_as_probable_as_the_others(
    run: Callable[..., Run],
) -> None:
    began = run(max_steps=1, classifier={"balance": "none"})
    began.start()
    first = began.named("evaluated")[0]
    assert first.measures["colour_loss"] == pytest.approx(np.log(3), abs=1e-6)
    assert first.measures["topics_loss"] == pytest.approx(np.log(2), abs=1e-6)
    assert first.valid_loss == pytest.approx(np.log(3) + np.log(2) / 2, abs=1e-6)


def test_rows_are_learned_and_each_target_is_told(run: Callable[..., Run]) -> None:
    done_run = run(n=40, max_steps=40, batch_size=2)
    done = done_run.start()
    assert isinstance(done, Done)
    first, *_, last = done_run.named("step")
    assert last.loss < 0.3 * first.loss
    assert last.measures["colour_accuracy"] == 1.0
    told = done_run.named("evaluated")[-1]
    assert set(told.measures) == {
        *("colour_accuracy", "colour_loss", "topics_accuracy", "topics_loss")
    }
    assert told.measures["colour_accuracy"] > 0.8
    assert told.valid_token_accuracy <= min(
        told.measures["colour_accuracy"], told.measures["topics_accuracy"]
    )
    assert told.n_trained_tokens == 8


def test_a_run_killed_between_checkpoints_ends_with_the_same_bits(run: Callable[..., Run]) -> None:
    undisturbed, killed = run("undisturbed"), run("killed")
    whole = undisturbed.start()
    with pytest.raises(Killed):
        killed.start(kill_at=lambda e: e.name == "step" and e.step == 8)
    again = killed.start()
    assert killed.losses() == undisturbed.losses()
    assert isinstance(whole, Done)
    assert isinstance(again, Done)
    assert torch.equal(whole.tuned.learned.flat, again.tuned.learned.flat)


def test_two_lanes_learn_what_one_learns(run: Callable[..., Run]) -> None:
    """How many lanes there are changes no bit, so the head's gradient goes through them too."""
    ends = []
    for lanes in (1, 2):
        machine = dataclasses.replace(ONE_THREAD, at_once=32, lanes=lanes)
        done = run(f"lanes-{lanes}", machine=machine, max_steps=3).start()
        assert isinstance(done, Done)
        ends.append(done.tuned.learned.flat.detach().clone())
    assert (ends[0] - ends[1]).abs().max() < 1e-3 * ends[0].abs().max()


def test_rows_without_labels_are_refused_by_name(run: Callable[..., Run]) -> None:
    chats = run()
    chats.sources = [Source("chats.jsonl", 1.0, samples_of(3))]
    with pytest.raises(TuningFailed, match="rows with labels"):
        chats.start()


def test_labels_that_changed_are_another_run(run: Callable[..., Run]) -> None:
    began = run()
    with pytest.raises(Killed):
        began.start(kill_at=lambda e: e.name == "step" and e.step == 6)
    held = began.sources[0].samples.held
    assert held is not None
    held[0] = (held[0] + 1) % 3
    with pytest.raises(TuningFailed, match="other data"):
        began.start()


def test_weights_of_a_single_class_target_average_one_over_the_rows() -> None:
    targets = (ClassifierTarget("t", ("a", "b"), LossFunction.SINGLE_CLASS),)
    counts = np.array([90, 10])
    for balance, ratio in (("none", 1.0), ("sqrt", 3.0), ("full", 9.0)):
        a, b = label_weights(targets, counts, 100, balance=balance).tolist()
        assert b / a == pytest.approx(ratio, rel=1e-6)
        assert (90 * a + 10 * b) / 100 == pytest.approx(1.0, rel=1e-6)


def test_weights_of_a_multi_class_target_are_of_rows_that_hold_a_label_against_the_rest() -> None:
    targets = (ClassifierTarget("t", ("a", "b"), LossFunction.MULTI_CLASS),)
    weights = label_weights(targets, np.array([20, 50]), 100, balance="sqrt").tolist()
    assert weights == pytest.approx([2.0, 1.0])


def test_the_correction_gives_a_weighted_fit_the_shares_of_the_rows() -> None:
    """Without features, the weighted loss is smallest at shares times weights; corrected, the
    probabilities are the shares themselves."""
    targets = (ClassifierTarget("t", ("a", "b"), LossFunction.SINGLE_CLASS),)
    weights_L = label_weights(targets, np.array([90, 10]), 100, balance="sqrt")
    fitted_L = (weights_L * torch.tensor([0.9, 0.1])).log()
    assert (fitted_L + correction(weights_L)).softmax(0).tolist() == pytest.approx([0.9, 0.1])


def test_labels_are_counted_over_all_files() -> None:
    one = Samples.with_labels([([1, 2], [0, 3]), ([1, 2], [0])])
    assert label_counts([one, one], 5).tolist() == [4, 0, 0, 2, 0]
