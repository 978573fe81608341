"""The compiled kernels of serving; everything else stands in pyproject.toml.

One source, a variant for each set of vector instructions; modiste.nn.native picks one at run time.
A variant that cannot be compiled is left out, all of them where there is no compiler.
"""

import platform

from setuptools import Extension, setup

SOURCE = "src/modiste/nn/native/decoder.c"
HEADER_NAMES = (
    *("vector", "linear", "whole", "tiles", "attention", "deltas", "feed_forward", "sampling"),
)
HEADERS = [f"src/modiste/nn/native/{name}.h" for name in HEADER_NAMES]
AVX512 = [f"-mavx512{part}" for part in ("f", "bw", "vl", "dq", "vnni")] + ["-mfma"]
VARIANTS = {"plain": []}
if platform.machine().lower() in ("x86_64", "amd64"):
    VARIANTS |= {
        "avx2": ["-mavx2", "-mfma"],
        "avx512": AVX512,
        "amx": [*AVX512, "-mamx-tile", "-mamx-int8"],
    }

setup(
    ext_modules=[
        Extension(
            f"modiste.nn._native_{name}",
            [SOURCE],
            depends=HEADERS,
            extra_compile_args=["-O3", "-std=gnu11", "-Wno-psabi", *flags],
            optional=True,
        )
        for name, flags in VARIANTS.items()
    ]
)
