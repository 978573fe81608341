"""The compiled kernels: which variant this machine runs, and the structures they read.

`native/*.c` is compiled several times when the package is built, for processors with more and more
vector instructions. Where no compiler was there, or with `MODISTE_NATIVE=off`, there is no library
and torch computes everything (`nn.linear`, `nn.decoder`, `nn.deltas`); nothing else changes. Calls
drop the interpreter lock. Structures keep no tensors alive: who fills one holds what it points to.
"""

from __future__ import annotations

import ctypes
import logging
import os
from ctypes import POINTER, Structure, c_double, c_float, c_int, c_int64, c_void_p
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

log = logging.getLogger(__name__)

VARIANTS = ("amx", "avx512", "avx2", "plain")
"""Best first. `plain` is whatever the compiler makes of it, on any processor."""
VARIABLE = "MODISTE_NATIVE"
"""Names one variant, or nothing that exists (`off`) for torch alone: to compare, to find faults."""
LANES = 16
"""Outputs of a panel."""
LAYOUT = 4
"""Of the structures below, as in `native/decoder.c`."""


class CLinear(Structure):
    _fields_ = [
        ("kind", c_int64),
        ("inputs", c_int64),
        ("outputs", c_int64),
        ("panels", c_void_p),
        ("scales", c_void_p),
        ("shifts", c_void_p),
        ("bias", c_void_p),
    ]


class CFeedForward(Structure):
    _fields_ = [("gate_up", CLinear), ("down", CLinear)]


class CMixture(Structure):
    _fields_ = [
        ("n_experts", c_int64),
        ("n_picked", c_int64),
        ("expert_size", c_int64),
        ("whole", c_int64),
    ]


class CLayer(Structure):
    _fields_ = [
        ("input_norm", c_void_p),
        ("q_norm", c_void_p),
        ("k_norm", c_void_p),
        ("mlp_norm", c_void_p),
        ("qkv", CLinear),
        ("o", CLinear),
        ("mlp", CFeedForward),
        ("router", CLinear),
        ("experts", POINTER(CFeedForward)),
        ("window", c_int64),
    ]


class CDecoder(Structure):
    _fields_ = [
        ("n_layers", c_int64),
        ("hidden", c_int64),
        ("intermediate", c_int64),
        ("heads", c_int64),
        ("kv_heads", c_int64),
        ("head_size", c_int64),
        ("norm_eps", c_float),
        ("layers", POINTER(CLayer)),
        ("norm", c_void_p),
        ("mixture", CMixture),
    ]


class CSegment(Structure):
    _fields_ = [
        ("first", c_int64),
        ("outputs", c_int64),
        ("first_rank", c_int64),
        ("rank", c_int64),
        ("up", c_void_p),
    ]


class CSite(Structure):
    _fields_ = [
        ("rank", c_int64),
        ("down", c_void_p),
        ("n_segments", c_int64),
        ("segments", POINTER(CSegment)),
        ("kind", c_int64),
    ]


class CSpan(Structure):
    _fields_ = [
        ("first_row", c_int64),
        ("n_rows", c_int64),
        ("first_cell", c_int64),
        ("length", c_int64),
        ("adapter", c_void_p),
    ]


class CCells(Structure):
    _fields_ = [("keys", c_void_p), ("values", c_void_p), ("n_cells", c_int64)]


class CDraw(Structure):
    _fields_ = [
        ("row", c_int64),
        ("temperature", c_double),
        ("top_p", c_double),
        ("min_p", c_double),
        ("u", c_double),
        ("top_k", c_int64),
    ]


class CRotary(Structure):
    _fields_ = [("cos", c_void_p), ("sin", c_void_p)]


class Library(NamedTuple):
    variant: str
    forward: Any
    linear: Any
    sample: Any


@cache
def library() -> Library | None:
    """The best variant that was built and that this processor runs."""
    wanted = os.environ.get(VARIABLE)
    for variant in VARIANTS if wanted is None else (wanted,):
        if (found := open_variant(variant)) is not None:
            return found
    return None


def open_variant(variant: str) -> Library | None:
    """This variant, if it was built and runs here."""
    for suffix in EXTENSION_SUFFIXES:
        path = Path(__file__).with_name(f"_native_{variant}{suffix}")
        if not path.is_file():
            continue
        try:
            loaded = ctypes.CDLL(str(path))
        except OSError:
            continue  # Built for another machine or system.
        layout = getattr(loaded, "modiste_layout", None)
        if layout is None or layout() != LAYOUT:
            log.warning("%s is of another version and not used; install the package again", path)
        elif loaded.modiste_usable():
            return _typed(variant, loaded)
    return None


def address(tensor: Tensor | None) -> int | None:
    """Of its first element; the tensor must be contiguous and outlive the use."""
    if tensor is None:
        return None
    assert tensor.is_contiguous()  # noqa: S101  # Kernels see memory, not strides.
    return tensor.data_ptr()


def _typed(variant: str, loaded: ctypes.CDLL) -> Library:
    forward, linear = loaded.modiste_forward, loaded.modiste_linear
    forward.restype = c_int
    forward.argtypes = [
        POINTER(CDecoder),
        c_int64,
        c_void_p,
        c_int64,
        c_void_p,
        CCells,
        CRotary,
    ]
    linear.restype = None
    linear.argtypes = [POINTER(CLinear), c_int64, c_void_p, c_void_p]
    sample = loaded.modiste_sample
    sample.restype = c_int
    sample.argtypes = [c_int64, c_void_p, c_int64, POINTER(CDraw), c_void_p]
    return Library(variant, forward, linear, sample)
