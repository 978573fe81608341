"""The allocator told to keep what a training frees: the next step asks for the same sizes again.

By default glibc gives buffers of some megabytes back to the system at once, and every step pays for
zeroed pages anew (6 % of a step at 60 M parameters). Elsewhere than on glibc nothing is done. Peak
memory stays the same; what is resident between steps does not fall.
"""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
MAPPED_FROM = 32 * 1024**2
"""The largest that glibc takes."""
KEPT = 2**31 - 1


def keep_freed_memory() -> bool:
    """Whether this process's allocator took the hint."""
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # musl
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, MAPPED_FROM)) and bool(mallopt(M_TRIM_THRESHOLD, KEPT))
