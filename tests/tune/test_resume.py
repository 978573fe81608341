"""Checkpoints: complete or not there, exact, and never those of another run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from modiste.errors import TuningFailed
from modiste.tune import resume
from modiste.tune.resume import (
    Counters,
    fingerprint_of,
    load_checkpoint,
    put_back,
    save_checkpoint,
    take_out,
)


def tensors(value: float = 1.0) -> dict[str, torch.Tensor]:
    return {"adapters": torch.full((5,), value), "updates": torch.tensor(3.0)}


def counters(step: int) -> Counters:
    return Counters(step=step, n_tokens=7 * step, loss_since=0.1 + 0.2, valid_loss=1 / 3)


def test_what_is_saved_is_loaded_to_the_bit(tmp_path: Path) -> None:
    torch.manual_seed(4)
    save_checkpoint(tmp_path, counters(10), tensors(), belongs_to="me")
    expected = torch.rand(3)
    torch.manual_seed(99)
    state = load_checkpoint(tmp_path, belongs_to="me")
    assert state is not None
    assert state.counters == counters(10)
    assert all(torch.equal(state.tensors[name], tensor) for name, tensor in tensors().items())
    assert torch.equal(torch.rand(3), expected), "the random state goes on where it was"


def test_without_checkpoints_there_is_nothing_to_resume(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path / "checkpoints", belongs_to="me") is None


def test_the_last_two_are_kept_and_the_newest_is_loaded(tmp_path: Path) -> None:
    for step in (5, 10, 100):
        save_checkpoint(tmp_path, counters(step), tensors(step), belongs_to="me")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-00000010", "step-00000100"]
    state = load_checkpoint(tmp_path, belongs_to="me")
    assert state is not None
    assert state.counters.step == 100


@pytest.mark.parametrize("damage", ["cut", "garbage", "missing", "no json"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path: Path, damage: str) -> None:
    save_checkpoint(tmp_path, counters(5), tensors(5), belongs_to="me")
    newest = save_checkpoint(tmp_path, counters(10), tensors(10), belongs_to="me")
    file = newest / "state.safetensors"
    match damage:
        case "cut":
            file.write_bytes(file.read_bytes()[:-9])
        case "garbage":
            file.write_bytes(b"\xff" * 100)
        case "missing":
            file.unlink()
        case "no json":
            (newest / "state.json").write_text("{")
    state = load_checkpoint(tmp_path, belongs_to="me")
    assert state is not None
    assert state.counters.step == 5


def test_when_none_can_be_read_the_run_fails_and_says_which_folder(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, counters(5), tensors(), belongs_to="me")
    (path / "state.json").write_text("[]")
    with pytest.raises(TuningFailed, match="remove the folder") as raised:
        load_checkpoint(tmp_path, belongs_to="me")
    assert raised.value.error_code == "checkpoint_unreadable"


def test_a_half_written_checkpoint_is_not_one(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, counters(5), tensors(), belongs_to="me")
    partial = tmp_path / ".partial-00000010"
    partial.mkdir()
    (partial / "state.json").write_text(json.dumps({"step": 10}))
    state = load_checkpoint(tmp_path, belongs_to="me")
    assert state is not None
    assert state.counters.step == 5


def test_the_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, counters(5), tensors(), belongs_to="me")
    with pytest.raises(TuningFailed, match="start a new job") as raised:
        load_checkpoint(tmp_path, belongs_to="you")
    assert raised.value.error_code == "checkpoint_mismatch"


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(tmp_path, counters(5), tensors(), belongs_to="me")

    def full(path: Path, content: bytes) -> None:
        path.write_bytes(content[:3])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(resume, "write_synced", full)
    with pytest.raises(TuningFailed, match="no space left") as raised:
        save_checkpoint(tmp_path, counters(10), tensors(), belongs_to="me")
    assert raised.value.error_code == "storage_full"
    assert [p.name for p in tmp_path.iterdir()] == ["step-00000005"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TuningFailed, match="cannot write the checkpoint of step 1"):
        save_checkpoint(tmp_path / "file", counters(1), tensors(), belongs_to="me")


def test_the_optimiser_goes_on_as_if_it_had_never_stopped() -> None:
    def learner() -> tuple[torch.nn.Parameter, torch.optim.AdamW]:
        flat = torch.nn.Parameter(torch.linspace(-1, 1, 37))
        return flat, torch.optim.AdamW([flat], lr=0.1, weight_decay=0.1, fused=True)

    def learn(flat: torch.nn.Parameter, optimizer: torch.optim.AdamW, steps: range) -> None:
        for step in steps:
            flat.grad = torch.sin(flat.detach() * step)
            optimizer.step()

    undisturbed, stopped, continued = learner(), learner(), learner()
    learn(*undisturbed, range(1, 21))
    learn(*stopped, range(1, 8))
    put_back(take_out(*stopped), *continued)
    learn(*continued, range(8, 21))
    assert torch.equal(continued[0], undisturbed[0])


def test_fingerprints_tell_parts_apart() -> None:
    assert fingerprint_of("ab", "c") != fingerprint_of("a", "bc")
    assert fingerprint_of(b"1") != fingerprint_of(b"2")
    assert fingerprint_of({"a": 1, "b": 2}) == fingerprint_of({"b": 2, "a": 1})
