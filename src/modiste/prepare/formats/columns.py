"""Rows of any columns as chats, by a template for each message."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Columns:
    """The messages to make of a row: role and template each, `{name}` standing for a column."""

    messages: tuple[tuple[str, str], ...]
