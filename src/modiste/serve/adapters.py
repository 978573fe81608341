"""A PEFT LoRA folder becomes the deltas that the decoder adds.

Where the compiled kernels run, a packed copy (`nn.packed_adapter`) is left beside the PEFT files
when they are read for the first time, and mapped from then on.

Modules that one fused linear computes (q, k, v and gate, up) are fused here too. An adapter whose
layers are not all in this base, at their right sizes, is refused with everything that does not fit:
an adapter that is applied in part answers like nobody trained it.

Legend: D inputs and O outputs of a module, r rank of a module, R sum of the ranks fused at a site.
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
from modiste.nn.adapter_table import AdapterDeltas, Block, Delta, Site
from modiste.nn.shape import DecoderShape

log = logging.getLogger(__name__)

LAYER = re.compile(r"model\.layers\.(?P<index>\d+)\.(?P<module>(?:self_attn|mlp)\.\w+)")


class Module(NamedTuple):
    """Where a module's outputs lie in the fused output of its site."""

    site: Site
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
    return repr((told, shape.n_layers, [tuple(m) for m in modules_of(shape).values()]))


def from_peft(
    folder: Path, shape: DecoderShape, *, dtype: torch.dtype = torch.float32
) -> AdapterDeltas:
    """As `load_adapter`, from the PEFT files themselves."""
    modules = modules_of(shape)
    found: dict[tuple[int, Site], list[Part]] = {}
    problems = []
    for name, layer in load_peft(folder).layers.items():
        match = LAYER.fullmatch(name)
        module = modules.get(match["module"]) if match else None
        sizes = (layer.A_RI.shape[-1], layer.B_OR.shape[0])
        if match is None or module is None or int(match["index"]) >= shape.n_layers:
            problems.append(f"{name} is not in this base of {shape.n_layers} layers")
        elif sizes != (module.inputs, module.outputs):
            problems.append(
                f"{name} maps {sizes[0]} to {sizes[1]} values, this base needs "
                f"{module.inputs} to {module.outputs}"
            )
        else:
            found.setdefault((int(match["index"]), module.site), []).append(Part(module, layer))
    if problems or not found:
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        told = "; ".join(problems[:5]) or "it holds no layers"
        raise InvalidInput(f"{folder}: this adapter does not fit the base: {told}{more}")
    widths = {site: sum(m.outputs for m in modules.values() if m.site == site) for site in Site}
    return AdapterDeltas(
        [
            {s: _fuse(found[index, s], widths[s]) for s in Site if (index, s) in found}
            for index in range(shape.n_layers)
        ],
        dtype=dtype,
    )


def modules_of(shape: DecoderShape) -> dict[str, Module]:
    """The linear modules of a layer by their Hugging Face names."""
    hidden, wide, q, kv = (
        shape.hidden_size,
        shape.intermediate_size,
        shape.query_size,
        shape.kv_size,
    )
    return {
        "self_attn.q_proj": Module(Site.QKV, 0, q, hidden),
        "self_attn.k_proj": Module(Site.QKV, q, kv, hidden),
        "self_attn.v_proj": Module(Site.QKV, q + kv, kv, hidden),
        "self_attn.o_proj": Module(Site.O, 0, hidden, q),
        "mlp.gate_proj": Module(Site.GATE_UP, 0, wide, hidden),
        "mlp.up_proj": Module(Site.GATE_UP, wide, wide, hidden),
        "mlp.down_proj": Module(Site.DOWN, 0, hidden, wide),
    }


def _fuse(parts: list[Part], outputs: int) -> Delta:
    """Ranks side by side; each module's outputs see its own ranks only."""
    parts = sorted(parts, key=lambda part: part.module.first)
    down_RD = torch.cat([part.layer.A_RI.float() for part in parts])
    up_OR = torch.zeros(outputs, len(down_RD))
    blocks: list[Block] = []
    rank = 0
    for module, layer in parts:
        end = rank + len(layer.A_RI)
        up_OR[module.first : module.first + module.outputs, rank:end] = layer.B_OR * layer.scaling
        blocks.append(Block(module.first, module.outputs, rank, len(layer.A_RI)))
        rank = end
    return Delta(down_RD, up_OR, tuple(blocks))
