"""What a run says while it works: one small frozen value per thing that happened.

The recipe hands these to `on_event`; the trainer process writes each as one JSON line, its name
under `event`. A run that continues from a checkpoint says its steps again with the same values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar


@dataclass(frozen=True)
class Event:
    name: ClassVar[str]

    def as_dict(self) -> dict[str, Any]:
        return {"event": self.name, **asdict(self)}


@dataclass(frozen=True)
class Started(Event):
    name = "started"
    total_steps: int
    batch_size: int
    max_length: int
    n_samples: int
    n_unused_samples: int
    """Without a token to train on: left out."""
    data_tokens: int
    n_validation_samples: int
    device: str
    dtype: str
    threads: int
    packed: bool
    """False: this architecture runs its samples one by one."""


@dataclass(frozen=True)
class Preparing(Event):
    """Before the first step: of the reference that pairs are compared with."""

    name = "preparing"
    n_done: int
    n_samples: int


@dataclass(frozen=True)
class Busy(Event):
    """Something takes long and is not stuck: a step, an evaluation, the search for worst rows."""

    name = "busy"
    doing: str
    n_done: int
    n_all: int


@dataclass(frozen=True)
class Warned(Event):
    """Something to look at; the run goes on."""

    name = "warning"
    step: int
    code: str
    """`loss_spike`, `diverging`, `overfitting`, `not_better_than_base`, `tracker`, ..."""
    message: str


@dataclass(frozen=True)
class Resumed(Event):
    """Continues behind this step."""

    name = "resumed"
    step: int


@dataclass(frozen=True)
class Step(Event):
    name = "step"
    step: int
    total_steps: int
    loss: float
    """Nats per trained token of this step; per pair, where pairs are trained."""
    learning_rate: float
    grad_norm: float
    """Before clipping."""
    n_tokens: int
    """Through the model since the first step, prompts included."""
    n_trained_tokens: int
    tokens_per_s: float
    """Of this process, evaluation and checkpoints left out."""
    trained_tokens_per_s: float
    eta_s: float
    epoch: float = 0.0
    """Passes over the data so far, by tokens."""
    memory_bytes: int | None = None
    """Resident, of this process; and the most it ever was."""
    peak_memory_bytes: int | None = None
    gpu_memory_bytes: int | None = None
    peak_gpu_memory_bytes: int | None = None
    mfu: float | None = None
    """Share of the GPU's peak that went into useful work, 0 to 1."""
    measures: Mapping[str, float] = field(default_factory=dict)
    """What else the objective tells, as means: of pairs, rewards and preference_accuracy."""


@dataclass(frozen=True)
class Evaluated(Event):
    """Of the base itself at step 0."""

    name = "evaluated"
    step: int
    valid_loss: float
    valid_token_accuracy: float | None
    """Share of target tokens that were the most probable one, 0 to 1. None of pairs: see
    `measures`."""
    n_trained_tokens: int
    """Or pairs."""
    measures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class StoppedEarly(Event):
    """No better evaluation for as many as early stopping waits for."""

    name = "stopped_early"
    step: int
    best_step: int
    best_loss: float


@dataclass(frozen=True)
class Checkpointed(Event):
    """Everything up to this step is safe."""

    name = "checkpoint"
    step: int
    train_loss: float
    """Mean per trained token since the checkpoint before."""
    valid_loss: float | None
    valid_token_accuracy: float | None


@dataclass(frozen=True)
class Finished(Event):
    name = "finished"
    adapter_dir: str
    trained_tokens: int
    """Tokens that went through the model, prompts included: `train_tokens` of the estimate."""
    target_tokens: int
    """Those among them that the loss counted."""
    seconds: float
    """Of this process."""
    step: int | None = None
    """Whose weights are kept: of the last step, or of the best evaluation."""
    valid_loss: float | None = None
    """Of those weights."""
    base_valid_loss: float | None = None
    """Of the base, before the first step."""
    stopped_early: bool = False


@dataclass(frozen=True)
class Paused(Event):
    name = "paused"
    step: int


@dataclass(frozen=True)
class Cancelled(Event):
    name = "cancelled"
    step: int
    reason: str
    """`request` or `signal`."""


@dataclass(frozen=True)
class Failed(Event):
    name = "failed"
    code: str
    message: str
