"""Runs without a model: every answer and score is written down by the test."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
