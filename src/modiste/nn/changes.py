"""What an adapter changes in a base's matrices, one by one, whatever layout it lies in.

PEFT's layout (plain LoRA, rsLoRA, DoRA, experts adapted through `target_parameters`) and Mistral's
are read; names are those of the base's checkpoint, so experts that transformers keeps in one tensor
are told apart here. What else a PEFT adapter may hold is refused by adapter_io.py, by name.

Legend: I inputs, O outputs, R rank.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from modiste.errors import InvalidInput
from modiste.nn import adapter_io
from modiste.nn.adapter_io import AdapterLayer
from modiste.nn.mistral_adapter import is_mistral_adapter, load_mistral

EXPERT_NAMES = {
    "mixtral": "{layer}.block_sparse_moe.experts.{expert}.{which}",
    "qwen2_moe": "{layer}.mlp.experts.{expert}.{which}",
    "qwen3_moe": "{layer}.mlp.experts.{expert}.{which}",
}
"""Where families keep the matrices of one expert in a checkpoint."""
EXPERT_PARTS = {"mixtral": ("w1", "w3", "w2")}
"""gate, up and down of one expert; others say gate_proj, up_proj, down_proj."""


class Change(NamedTuple):
    """W becomes W + scaling * B A; with a magnitude, each row of that gets this length (DoRA)."""

    A_RI: Tensor
    B_OR: Tensor
    scaling: float
    magnitude_O: Tensor | None = None

    def on(self, weight_OI: Tensor) -> Tensor:
        """The changed matrix, in float32."""
        sum_OI = weight_OI.float().clone() if weight_OI.dtype.itemsize == 4 else weight_OI.float()
        sum_OI.addmm_(self.B_OR.float(), self.A_RI.float(), alpha=self.scaling)
        if self.magnitude_O is not None:
            sum_OI.mul_((self.magnitude_O.float() / sum_OI.norm(dim=1))[:, None])
        return sum_OI


Changes = dict[str, Change]
"""By the name of the matrix in the base's checkpoint, without `.weight`."""


def head_dim(config: Mapping[str, Any]) -> int:
    return int(config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"])


def read_changes(folder: Path, config: Mapping[str, Any]) -> Changes:
    """The adapter in `folder` for a base with this config.json.

    Raises:
        InvalidInput: in neither layout, not readable, or more than is read.
    """
    if is_mistral_adapter(folder):
        layers = load_mistral(folder, head_dim=head_dim(config))
        return {name: Change(*layer) for name, layer in layers.items()}
    return _read_peft(folder, config)


def _read_peft(folder: Path, config: Mapping[str, Any]) -> Changes:
    if not (folder / adapter_io.CONFIG).is_file():
        raise InvalidInput(
            f"{folder}: no adapter: neither {adapter_io.CONFIG} (PEFT) nor lora.safetensors "
            "(Mistral) is there"
        )
    found: Changes = {}
    for name, layer in adapter_io.load_peft(folder, dora=True).layers.items():
        if layer.A_RI.ndim == 3:
            found.update(_experts(name, layer, config))
        else:
            found[name] = Change(*layer)
    return found


def _experts(
    name: str, layer: AdapterLayer, config: Mapping[str, Any]
) -> Iterator[tuple[str, Change]]:
    """`model.layers.0.mlp.experts.gate_up_proj` of all experts to the matrices of each."""
    family = str(config.get("model_type"))
    if family not in EXPERT_NAMES:
        raise InvalidInput(f"{name}: experts of {family} models are not taken apart yet")
    gate, up, down = EXPERT_PARTS.get(family, ("gate_proj", "up_proj", "down_proj"))
    stem, _, parameter = name.rpartition(".mlp.experts.")
    for expert, (a_RI, b_OR) in enumerate(zip(layer.A_RI, layer.B_OR, strict=True)):
        half = len(b_OR) // 2
        parts = {down: b_OR}
        if parameter == "gate_up_proj":
            parts = {gate: b_OR[:half], up: b_OR[half:]}
        for which, part_OR in parts.items():
            full = EXPERT_NAMES[family].format(layer=stem, expert=expert, which=which)
            yield full, Change(a_RI, part_OR, layer.scaling)


def plain(changes: Mapping[str, Change]) -> dict[str, AdapterLayer]:
    """The same as layers of LoRA.

    Raises:
        InvalidInput: some have lengths of their own (DoRA).
    """
    dora = [name for name, change in changes.items() if change.magnitude_O is not None]
    if dora:
        raise InvalidInput(
            f"the adapter is a DoRA ({len(dora)} layers with lengths of their own), which this "
            "form has no place for; take peft, merged or merged-mistral"
        )
    return {name: AdapterLayer(c.A_RI, c.B_OR, c.scaling) for name, c in changes.items()}


def save_peft_folder(folder: Path, changes: Mapping[str, Change], *, base: str) -> list[Path]:
    """Write `changes`, which came in another layout, as PEFT's into `folder`.

    Raises:
        InvalidInput: experts, which PEFT adapts in another shape.
    """
    experts = [name for name in changes if ".experts." in name]
    if experts:
        raise InvalidInput(
            f"the adapter changes {len(experts)} matrices of experts one by one ({experts[0]}, …), "
            "which PEFT has no form for; take merged, merged-mistral or mistral"
        )
    first = next(iter(changes.values()))
    adapter_io.save_peft(
        folder,
        {name: (change.A_RI, change.B_OR) for name, change in changes.items()},
        rank=len(first.A_RI),
        scaling=first.scaling,
        targets=sorted(changes),
        base=base,
        scalings={name: change.scaling for name, change in changes.items()},
    )
    return [folder / adapter_io.CONFIG, folder / adapter_io.WEIGHTS]
