"""The allocator's hint, in processes of their own."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
from modiste.tune.allocator import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
def used(): bytearray(24 * 1024**2)
used()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10): used()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these thresholds")
def test_freed_buffers_are_used_again_without_new_pages() -> None:
    def faults(how: str) -> int:
        command = [sys.executable, "-c", FAULTS, how]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    # calloc of kept memory clears it without a fault; 24 MB are 6,144 pages each time otherwise.
    assert faults("kept") < 1_000
