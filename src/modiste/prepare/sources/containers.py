"""What rows come in: JSON lines, JSON, CSV, Parquet, Arrow; told by the first bytes, then the name.

The bytes decide wherever they can, because names lie: a Parquet file called `train.jsonl` is read
as Parquet. Gzip around any of them is seen through.
"""

from __future__ import annotations

from enum import StrEnum


class Container(StrEnum):
    JSONL = "jsonl"
    JSON = "json"
    """One list of objects, an object of one such list, or an object of columns."""
    CSV = "csv"
    TSV = "tsv"
    PARQUET = "parquet"
    ARROW = "arrow"
    """Arrow's file or stream layout; Feather is the former."""
