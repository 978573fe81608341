"""Modiste makes language models to measure."""

__version__ = "0.1.0"
