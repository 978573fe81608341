"""A PEFT LoRA folder becomes the deltas that the decoder adds.

Where the compiled kernels run, a packed copy (`nn.packed_adapter`) is left beside the PEFT files
when they are read for the first time, and mapped from then on.

Modules that one fused linear computes (q, k, v and gate, up) are fused here too. Experts come as
one parameter for all of a layer (`target_parameters`) or each by its own name. An adapter whose
layers are not all in this base, at their right sizes, is refused with everything that does not fit:
an adapter that is applied in part answers like nobody trained it.

Legend: D inputs and O outputs of a module, r rank of a module, R sum of the ranks fused at a site,
X experts of a layer.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import NamedTuple

import torch

from modiste.errors import InvalidInput
from modiste.nn import native, packed_adapter
from modiste.nn.adapter_io import CONFIG, WEIGHTS, AdapterLayer, load_peft
from modiste.nn.adapter_table import AdapterDeltas, Block, Delta, ExpertSite, Place, Site, column
from modiste.nn.shape import DecoderShape, Mixture
from modiste.nn.weights import DENSE, Names, expert, router

log = logging.getLogger(__name__)

LAYER = re.compile(r"model\.layers\.(?P<index>\d+)\.(?P<module>.+)")


class Module(NamedTuple):
    """Where a module's outputs lie in the fused output of its place."""

    place: Place
    width: int
    """Of that output."""
    first: int
    outputs: int
    inputs: int


class Part(NamedTuple):
    module: Module
    layer: AdapterLayer


GROWTH = 4
"""Fused in float32 an adapter takes up to this many times its file."""
PACKED = {torch.float32: "adapter.packed", torch.bfloat16: "adapter.bf16.packed"}


def size_bytes(folder: Path, *, dtype: torch.dtype = torch.float32) -> int:
    """Memory it will take at most; what is mapped from a packed copy the system may take back.

    Raises:
        InvalidInput: the folder is no PEFT adapter.
    """
    missing = [name for name in (CONFIG, WEIGHTS) if not (folder / name).is_file()]
    if missing:
        raise InvalidInput(f"{folder}: not a PEFT adapter, {' and '.join(missing)} missing")
    copy = folder / PACKED[dtype]
    return copy.stat().st_size if copy.is_file() else GROWTH * (folder / WEIGHTS).stat().st_size


def load_adapter(
    folder: Path, shape: DecoderShape, *, dtype: torch.dtype = torch.float32
) -> AdapterDeltas:
    """The adapter in `folder`, for a base of this shape; `dtype` is what the kernels read.

    Raises:
        InvalidInput: not readable, more than plain LoRA, or not made for this base.
    """
    if native.library() is None:
        return from_peft(folder, shape)
    source, copy = _source(folder, shape), folder / PACKED[dtype]
    if (table := packed_adapter.read(copy, source=source)) is not None:
        return AdapterDeltas.of_table(table)
    deltas = from_peft(folder, shape, dtype=dtype)
    try:
        packed_adapter.write(copy, deltas.table, source=source)
    except OSError as error:
        log.warning("%s: no packed copy could be left there: %s", folder, error)
        return deltas
    table = packed_adapter.read(copy, source=source)
    return deltas if table is None else AdapterDeltas.of_table(table)


def _source(folder: Path, shape: DecoderShape) -> str:
    """Changes when the PEFT files change, and with the sizes of the base.

    Raises:
        InvalidInput: the folder is no PEFT adapter.
    """
    try:
        files = [(folder / name).stat() for name in (CONFIG, WEIGHTS)]
    except OSError as error:
        raise InvalidInput(f"{folder}: not an adapter in PEFT layout: {error}") from None
    told = [(file.st_size, file.st_mtime_ns) for file in files]
    return repr((told, shape))


def from_peft(
    folder: Path, shape: DecoderShape, *, dtype: torch.dtype = torch.float32
) -> AdapterDeltas:
    """As `load_adapter`, from the PEFT files themselves."""
    found: list[dict[Place, list[Part]]] = [{} for _ in range(shape.n_layers)]
    problems: list[str] = []
    modules = [modules_of(shape, mixture) for mixture in (None, shape.mixture)]
    for name, layer in load_peft(folder).layers.items():
        match = LAYER.fullmatch(name)
        index = int(match["index"]) if match else shape.n_layers
        if match is None or index >= shape.n_layers:
            problems.append(f"{name} is not in this base of {shape.n_layers} layers")
            continue
        known = modules[shape.is_mixture(index)]
        for module_name, one in _each(match["module"], layer, shape).items():
            module = known.get(module_name)
            if module is None or _sizes(one) != (module.inputs, module.outputs):
                told = _misfit(module_name, one, module, shape)
                problems.append(f"model.layers.{index}.{module_name} {told}")
            else:
                found[index].setdefault(module.place, []).append(Part(module, one))
    if problems or not any(found):
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        told = "; ".join(problems[:5]) or "it holds no layers"
        raise InvalidInput(f"{folder}: this adapter does not fit the base: {told}{more}")
    return AdapterDeltas(
        [{p: _fuse(layer[p]) for p in sorted(layer, key=column)} for layer in found], dtype=dtype
    )


def _each(name: str, layer: AdapterLayer, shape: DecoderShape) -> dict[str, AdapterLayer]:
    """A module as it is; a parameter of all experts as one module for each of them."""
    if layer.A_RI.ndim == 2:
        return {name: layer}
    stem, _, parameter = name.rpartition(".")
    n_there = shape.mixture.n_experts if shape.mixture else 0
    if len(layer.A_RI) != n_there:
        return {name: layer}  # Not as many as the base has: it fits nowhere.
    return {
        f"{stem}.{number}.{parameter}": AdapterLayer(a_RI, b_OR, layer.scaling)
        for number, (a_RI, b_OR) in enumerate(zip(layer.A_RI, layer.B_OR, strict=True))
    }


def _sizes(layer: AdapterLayer) -> tuple[int, int]:
    return layer.A_RI.shape[-1], layer.B_OR.shape[-2]


def _misfit(name: str, layer: AdapterLayer, module: Module | None, shape: DecoderShape) -> str:
    if module is not None:
        told = "maps {} to {} values".format(*_sizes(layer))
        return f"{told}, this base needs {module.inputs} to {module.outputs}"
    if layer.A_RI.ndim == 3:
        there = shape.mixture.n_experts if shape.mixture else "no"
        return f"adapts {len(layer.A_RI)} experts, this base has {there}"
    if shape.mixture is not None and name == router(shape):
        return "is a router, whose adapters are not computed here"
    return f"is not in this base of {shape.n_layers} layers"


def modules_of(shape: DecoderShape, mixture: Mixture | None) -> dict[str, Module]:
    """The linear modules of a layer by their names: those of checkpoints, and for experts those of
    the parameters that transformers fuses them into, with the expert's number before the last."""
    hidden, q, kv = shape.hidden_size, shape.query_size, shape.kv_size
    qkv = q + 2 * kv
    modules = {
        "self_attn.q_proj": Module(Site.QKV, qkv, 0, q, hidden),
        "self_attn.k_proj": Module(Site.QKV, qkv, q, kv, hidden),
        "self_attn.v_proj": Module(Site.QKV, qkv, q + kv, kv, hidden),
        "self_attn.o_proj": Module(Site.O, hidden, 0, hidden, q),
    }
    if mixture is None:
        sites = (Site.GATE_UP, Site.DOWN)
        return modules | _gated(DENSE, sites, shape.intermediate_size, hidden)
    wide = mixture.expert_size
    for number in range(mixture.n_experts):
        places = (ExpertSite(Site.GATE_UP, number), ExpertSite(Site.DOWN, number))
        modules |= _gated(expert(shape, number), places, wide, hidden)
        modules |= {
            f"mlp.experts.{number}.gate_up_proj": Module(places[0], 2 * wide, 0, 2 * wide, hidden),
            f"mlp.experts.{number}.down_proj": Module(places[1], hidden, 0, hidden, wide),
        }
    return modules


def _gated(names: Names, places: tuple[Place, Place], wide: int, hidden: int) -> dict[str, Module]:
    return {
        names.gate: Module(places[0], 2 * wide, 0, wide, hidden),
        names.up: Module(places[0], 2 * wide, wide, wide, hidden),
        names.down: Module(places[1], hidden, 0, hidden, wide),
    }


def _fuse(parts: list[Part]) -> Delta:
    """Ranks side by side; each module's outputs see its own ranks only."""
    parts = sorted(parts, key=lambda part: part.module.first)
    down_RD = torch.cat([part.layer.A_RI.float() for part in parts])
    up_OR = torch.zeros(parts[0].module.width, len(down_RD))
    blocks: list[Block] = []
    rank = 0
    for module, layer in parts:
        end = rank + len(layer.A_RI)
        up_OR[module.first : module.first + module.outputs, rank:end] = layer.B_OR * layer.scaling
        blocks.append(Block(module.first, module.outputs, rank, len(layer.A_RI)))
        rank = end
    return Delta(down_RD, up_OR, tuple(blocks))
