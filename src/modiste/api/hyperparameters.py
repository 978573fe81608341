"""The hyperparameters of a job as doors read them: the vendor's fields, and all of ours.

Ours are the fields of a tuning file. They may be written as there, sections and all
(`"lora": {"dropout": 0.1}`, `"max_steps": 10`), or flat, as answers show them (`lora_dropout`,
`training_steps`). An `effort` fills in what the request leaves open.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from modiste.api.door import Body
from modiste.tune import effort
from modiste.tune.asked import PLACES
from modiste.types import Hyperparameters, OverLength

Fraction = Annotated[float, Field(ge=0, le=1)]
SECTIONS = frozenset(name.partition(".")[0] for name in PLACES if "." in name)


class NativeHyperparameters(Body):
    """What every dialect takes."""

    learning_rate: Annotated[float, Field(ge=1e-8, le=1)] = 1e-4
    weight_decay: Fraction | None = 0.1
    warmup_fraction: Fraction | None = 0.05
    training_steps: Annotated[int, Field(ge=1)] | None = None
    epochs: Annotated[float, Field(gt=0)] | None = None
    seq_len: Annotated[int, Field(ge=100)] | None = None
    fim_ratio: Fraction | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    lora_rank: Annotated[int, Field(ge=1, le=1024)] = 16
    lora_alpha: Annotated[float, Field(gt=0)] | None = None
    lora_targets: Annotated[tuple[str, ...], Field(strict=False, min_length=1)] | None = None
    lora_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    lora_rslora: bool = False
    lora_dora: bool = False
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    checkpoint_steps: Annotated[int, Field(ge=1)] | None = None
    eval_steps: Annotated[int, Field(ge=1)] | None = None
    over_length: Annotated[OverLength, Field(strict=False)] = OverLength.REFUSE
    method: Literal["lora", "qlora", "full"] = "lora"
    objective: Literal["sft", "dpo", "classify"] | None = None
    effort: Literal["quick", "balanced", "thorough"] | None = None
    dpo_beta: Annotated[float, Field(gt=0)] = 0.1
    dpo_label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    dpo_sft_weight: Annotated[float, Field(ge=0)] = 0.0
    continue_from: str | None = None
    lr_schedule: Literal["cosine", "linear", "constant"] = "cosine"
    keep: Literal["last", "best"] = "last"
    early_stopping_patience: Annotated[int, Field(ge=1)] | None = None
    early_stopping_min_delta: Annotated[float, Field(ge=0)] = 0.0
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    gradient_checkpointing: bool | Literal["auto"] = "auto"
    microbatch_tokens: Annotated[int, Field(ge=16)] | None = None
    force: bool = False
    classifier_pooling: Literal["mean", "last"] = "mean"
    classifier_balance: Literal["none", "sqrt", "full"] = "sqrt"
    classifier_phrases: bool = True

    @property
    def given(self) -> frozenset[str]:
        return frozenset(self.model_fields_set)

    @model_validator(mode="before")
    @classmethod
    def _as_in_a_file(cls, given: Any) -> Any:
        """Sections and the names of a tuning file become the flat names."""
        return _flat(given) if isinstance(given, Mapping) else given


class HyperparametersIn(NativeHyperparameters):
    """Mistral's fields and ours."""

    batch_size: Annotated[int, Field(ge=1)] | None = None
    """Packed sequences per step."""

    def noun(self, *, evaluates: bool) -> Hyperparameters:
        """With what an effort decides filled in.

        Args:
            evaluates: whether the job has rows for evaluation.
        """
        return Hyperparameters(**chosen(self, self.model_dump(), evaluates=evaluates))


def chosen(
    asked: NativeHyperparameters, values: Mapping[str, Any], *, evaluates: bool
) -> dict[str, Any]:
    if asked.effort is None:
        return dict(values)
    given = {name: values.get(place) for name, place in PLACES.items() if place in asked.given}
    given |= {"data.validation": True} if evaluates else {}
    found = effort.choices(asked.effort, given)
    return {**values, **{PLACES[choice.field]: choice.value for choice in found}}


def _flat(given: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in given.items():
        if name in SECTIONS and isinstance(value, Mapping):
            flat.update({f"{name}.{field}": inner for field, inner in value.items()})
        else:
            flat[name] = value
    placed: dict[str, Any] = {}
    for name, value in flat.items():
        place = PLACES.get(name, name)
        if place in placed:
            raise ValueError(f"{place} is given twice, once as {name}; keep one of them")
        placed[place] = None if place == "lora_targets" and value == "all-linear" else value
    return placed
