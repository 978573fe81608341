"""Fixtures of the SQL door: `wired` is both wires over a script, `speaker` a house to speak in,
`doors` the wires of that house."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from real_wires import doors
from speaking import afresh, home, speaker
from wired_place import language, wired

__all__ = ["afresh", "doors", "home", "language", "speaker", "wired"]
